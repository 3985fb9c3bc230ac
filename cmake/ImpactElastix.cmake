# The elastixes that are built for. Two versions of itk-elastix whose classes are laid out alike are one host, named by the
# folder of what is built for it (ImpactVersions.cmake). For each:
#
#   impact_host-<folder>   elastix and ITK: their headers from obtain_sources.py, their code from the shared library inside
#                          the itk-elastix wheel, which exports all of it; what it links is never built here
#   IMPACT_HOST_LIBRARY_<folder>, IMPACT_HOST_SOURCE_<folder>   that library; elastix's sources
#
# and impact_host, IMPACT_ELASTIX_SOURCE_DIR and IMPACT_ITK_SOURCE_DIR for the first of them.
#
# IMPACT_HOSTS (CMake or environment variable) names versions of itk-elastix, whose wheels are downloaded ("0.25.2;0.25.4": one
# wheel of ours for all of them); empty: the one installed. IMPACT_ELASTIX_SOURCE_DIR and IMPACT_ITK_SOURCE_DIR (CMake or
# environment variables, both optional) name sources.
#
# Needs what ImpactHost.cmake has found. Leaves IMPACT_BUILT_HOSTS, the folders; IMPACT_ITK_ELASTIX_VERSION and
# IMPACT_ELASTIX_VERSION in the cache; and _impact_header_folders, which are not to be named in binaries.

include_guard(GLOBAL)
include(ImpactVersions)

set(IMPACT_ELASTIX_SOURCE_DIR "" CACHE PATH "Sources of elastix 5.3.1; empty: looked for, see docs/build.md")
set(IMPACT_ITK_SOURCE_DIR "" CACHE PATH "Sources of ITK 5.4.7; empty: looked for, see docs/build.md")

# The versions to build for, and for each the folder of its library.
function(_impact_choose_hosts installed installed_dir)
  impact_wanted(versions IMPACT_HOSTS)
  if(NOT versions)
    set(versions "${installed}")
    if(NOT installed)
      message(FATAL_ERROR
        "impact-plugin needs itk-elastix ${IMPACT_ITK_ELASTIX_RANGE}: found none in ${Python_EXECUTABLE}.\n"
        "Run: ${Python_EXECUTABLE} -m pip install 'itk-elastix${IMPACT_ITK_ELASTIX_RANGE}'")
    endif()
  endif()
  set(folders "")
  foreach(version IN LISTS versions)
    impact_host_folder(folder "${version}")
    if(NOT folder)
      message(FATAL_ERROR
        "impact-plugin needs itk-elastix ${IMPACT_ITK_ELASTIX_RANGE}: found ${version}, which is none of those that it "
        "knows (${IMPACT_HOST_TABLE}).\n"
        "Run: ${Python_EXECUTABLE} -m pip install 'itk-elastix${IMPACT_ITK_ELASTIX_RANGE}'")
    endif()
    if(folder IN_LIST folders)
      message(FATAL_ERROR "IMPACT_HOSTS names two versions with the same classes: ${versions}. One of ${folder} is enough.")
    endif()
    list(APPEND folders "${folder}")
    set(directory "${installed_dir}")
    if(NOT version STREQUAL installed)
      execute_process(
        COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/obtain_hosts.py" "${version}"
        OUTPUT_VARIABLE directory OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE result)
      if(NOT result EQUAL 0)
        message(FATAL_ERROR "The library of itk-elastix ${version} is not available; the reason stands above.")
      endif()
    endif()
    set(IMPACT_HOST_LIBRARY_${folder} "${directory}/_ElastixPython.abi3.so" PARENT_SCOPE)
  endforeach()
  set(IMPACT_BUILT_HOSTS "${folders}" PARENT_SCOPE)
  list(JOIN versions ", " versions)
  set(IMPACT_ITK_ELASTIX_VERSION "${versions}" CACHE INTERNAL "itk-elastix built against")
endfunction()

# Where the headers are, into a file of its own, which sets IMPACT_ELASTIX_SOURCE_DIR and the like.
function(_impact_obtain_headers commit file)
  set(tools "")
  foreach(variable IN ITEMS CMAKE_MAKE_PROGRAM CMAKE_C_COMPILER CMAKE_CXX_COMPILER CMAKE_TOOLCHAIN_FILE)
    if(${variable})
      list(APPEND tools "-D${variable}=${${variable}}")
    endif()
  endforeach()
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/obtain_sources.py"
      --cmake-output "${file}" --elastix-commit "${commit}"
      --elastix-source "$CACHE{IMPACT_ELASTIX_SOURCE_DIR}" --itk-source "$CACHE{IMPACT_ITK_SOURCE_DIR}"
      --cmake "${CMAKE_COMMAND}" --cxx "${CMAKE_CXX_COMPILER}"
      -- -G "${CMAKE_GENERATOR}" ${tools}
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "The headers of elastix and ITK are not available; the reason stands above.")
  endif()
endfunction()

# What to compile with, into impact_host.cmake. In a function, because the package files of ITK and elastix set dozens of
# variables.
function(_impact_find_headers sources file)
  include("${sources}")
  # find_package keeps what it found in the cache, and there is another elastix for each host.
  unset(ITK_DIR CACHE)
  unset(Elastix_DIR CACHE)
  find_package(ITK REQUIRED NO_MODULE NO_DEFAULT_PATH PATHS "${IMPACT_ITK_BINARY_DIR}")
  find_package(Elastix REQUIRED NO_MODULE NO_DEFAULT_PATH PATHS "${IMPACT_ELASTIX_BINARY_DIR}")
  separate_arguments(flags NATIVE_COMMAND "${ITK_REQUIRED_CXX_FLAGS}")
  file(WRITE "${file}"
    "set(_impact_flags \"${flags}\")\n"
    "set(_impact_include_dirs \"${ITK_INCLUDE_DIRS};${ELASTIX_INCLUDE_DIRS}\")\n"
    "set(IMPACT_ELASTIX_SOURCE_DIR \"${IMPACT_ELASTIX_SOURCE_DIR}\")\n")
endfunction()

function(_impact_add_host target library)
  add_library(${target} INTERFACE)
  target_compile_features(${target} INTERFACE cxx_std_17)
  target_compile_options(${target} INTERFACE ${_impact_flags})
  # The wheel's virtual tables depend on it. itkConfigure.h says the same; here it cannot be missed.
  target_compile_definitions(${target} INTERFACE ITK_LEGACY_REMOVE=)
  target_include_directories(${target} SYSTEM INTERFACE ${_impact_include_dirs})
  # Named by -l:, since the library has no SONAME and its path would end up in our binaries. What it wants of Python
  # comes from the interpreter that loads it.
  cmake_path(GET library PARENT_PATH directory)
  target_link_directories(${target} INTERFACE "${directory}")
  target_link_libraries(${target} INTERFACE -l:_ElastixPython.abi3.so)
  target_link_options(${target} INTERFACE -Wl,--allow-shlib-undefined)
endfunction()

_impact_choose_hosts("${_impact_itk_elastix_version}" "${_impact_itk_dir}")
set(_impact_header_folders)
foreach(_impact_folder IN LISTS IMPACT_BUILT_HOSTS)
  set(_impact_sources "${CMAKE_CURRENT_BINARY_DIR}/${_impact_folder}/impact_sources.cmake")
  set(_impact_found "${CMAKE_CURRENT_BINARY_DIR}/${_impact_folder}/impact_host.cmake")
  _impact_obtain_headers("${IMPACT_HOST_COMMIT_${_impact_folder}}" "${_impact_sources}")
  _impact_find_headers("${_impact_sources}" "${_impact_found}")
  include("${_impact_sources}")
  include("${_impact_found}")
  list(APPEND _impact_header_folders "${IMPACT_ELASTIX_SOURCE_DIR}" "${IMPACT_ITK_SOURCE_DIR}"
    "${IMPACT_ELASTIX_BINARY_DIR}" "${IMPACT_ITK_BINARY_DIR}")
  _impact_add_host(impact_host-${_impact_folder} "${IMPACT_HOST_LIBRARY_${_impact_folder}}")
  set(IMPACT_HOST_SOURCE_${_impact_folder} "${IMPACT_ELASTIX_SOURCE_DIR}")
endforeach()
list(REMOVE_DUPLICATES _impact_header_folders)

list(GET IMPACT_BUILT_HOSTS 0 _impact_folder)
add_library(impact_host ALIAS impact_host-${_impact_folder})
set(IMPACT_ELASTIX_SOURCE_DIR "${IMPACT_HOST_SOURCE_${_impact_folder}}")
set(IMPACT_ELASTIX_VERSION "${IMPACT_HOST_ELASTIX_${_impact_folder}}" CACHE INTERNAL "elastix inside that itk-elastix")
message(STATUS "impact: itk-elastix ${IMPACT_ITK_ELASTIX_VERSION} (${IMPACT_BUILT_HOSTS})")
