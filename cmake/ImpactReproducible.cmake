# Binaries that do not say where they were built, and so come out the same wherever that is: the folders of sources, packages
# and of the build are left out of __FILE__ and of what debuggers read. (__DATE__ and __TIME__, which elastix has in its
# version, follow SOURCE_DATE_EPOCH, which scikit-build-core sets.)
#
# Include it after ImpactHost, before any target. Of several that match, the compiler takes the last: the folders come before
# those within them.

include_guard(GLOBAL)

cmake_path(GET _impact_pybind11_dir PARENT_PATH _impact_pybind11_packages)
foreach(_impact_folder IN ITEMS
    "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_BINARY_DIR}" ${_impact_header_folders}
    ${_impact_torch_packages} "${_impact_pybind11_packages}")
  if(IS_DIRECTORY "${_impact_folder}")
    cmake_path(GET _impact_folder FILENAME _impact_name)
    if(_impact_folder STREQUAL CMAKE_CURRENT_SOURCE_DIR OR _impact_name STREQUAL "site-packages"
       OR _impact_name STREQUAL "dist-packages")
      set(_impact_name "")
    elseif(_impact_folder STREQUAL CMAKE_BINARY_DIR)
      set(_impact_name "build/")
    else()
      string(APPEND _impact_name "/")
    endif()
    # As it stands, and as seen from the build's folder, which is what ccache makes of paths beneath CCACHE_BASEDIR.
    file(RELATIVE_PATH _impact_relative "${CMAKE_BINARY_DIR}" "${_impact_folder}")
    string(REGEX REPLACE "/$" "" _impact_relative "${_impact_relative}")
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${_impact_folder}/=${_impact_name}>")
    if(_impact_relative)
      add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${_impact_relative}/=${_impact_name}>")
    endif()
  endif()
endforeach()
