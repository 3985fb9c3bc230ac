# Binaries that do not say where they were built, and so come out the same wherever that is: the folders of sources, packages
# and of the build are left out of __FILE__ and of what debuggers read. (__DATE__ and __TIME__, which elastix has in its
# version, follow SOURCE_DATE_EPOCH, which scikit-build-core sets.)
#
# Include it after ImpactHost and pybind11, before any target of ours. Of several that match, the compiler takes the last: the
# folders come before those within them.

include_guard(GLOBAL)

# Options that put a name in a folder's place: as it stands, and as seen from the build's folder, which is what ccache makes of
# paths beneath CCACHE_BASEDIR.
function(_impact_without result folder)
  set(options)
  if(IS_DIRECTORY "${folder}")
    cmake_path(GET folder FILENAME name)
    if(folder STREQUAL CMAKE_CURRENT_SOURCE_DIR OR name STREQUAL "site-packages" OR name STREQUAL "dist-packages")
      set(name "")
    elseif(folder STREQUAL CMAKE_BINARY_DIR)
      set(name "build/")
    else()
      string(APPEND name "/")
    endif()
    file(RELATIVE_PATH relative "${CMAKE_BINARY_DIR}" "${folder}")
    string(REGEX REPLACE "/$" "" relative "${relative}")
    foreach(said IN ITEMS "${folder}" ${relative})
      list(APPEND options "$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${said}/=${name}>")
    endforeach()
  endif()
  set(${result} "${options}" PARENT_SCOPE)
endfunction()

foreach(_impact_folder IN ITEMS "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_BINARY_DIR}" ${_impact_header_folders})
  _impact_without(_impact_options "${_impact_folder}")
  add_compile_options(${_impact_options})
endforeach()

# Packages only for what uses them: what is of no Python is compiled by the same command for each.
foreach(_impact_series IN LISTS IMPACT_TORCH_SERIES)
  _impact_without(_impact_options "${_impact_torch_packages_${_impact_series}}")
  target_compile_options(impact_torch_${_impact_series} INTERFACE ${_impact_options})
endforeach()
cmake_path(GET _impact_pybind11_dir PARENT_PATH _impact_folder)
_impact_without(_impact_options "${_impact_folder}")
target_compile_options(pybind11::headers INTERFACE ${_impact_options})
