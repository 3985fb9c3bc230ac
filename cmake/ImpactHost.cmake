# What our binaries compile against and link with, none of it built here:
#
#   impact_host   elastix and ITK: their headers from obtain_sources.py, their code from the shared library inside the
#                 installed itk-elastix wheel, which exports all of it
#   impact_torch_<series>  libtorch: headers and libraries of a torch wheel, for each minor version wanted
#
# Or, with IMPACT_HEADERS_DIR, against the headers that benchmarks/pack_headers.py has packed: no sources, no network.
#
# Needs find_package(Python COMPONENTS Interpreter ...) first. Takes IMPACT_ELASTIX_SOURCE_DIR and IMPACT_ITK_SOURCE_DIR
# (CMake or environment variables, both optional). Leaves IMPACT_TORCH_VERSION, IMPACT_ITK_ELASTIX_VERSION and
# IMPACT_ELASTIX_VERSION in the cache, and sets pybind11_ROOT for find_package(pybind11).
#
# CUDA needs nothing at build time: libtorch.so brings its CUDA libraries itself, so one binary serves both builds.

include_guard(GLOBAL)

set(IMPACT_ELASTIX_SOURCE_DIR "" CACHE PATH "Sources of elastix 5.3.1; empty: looked for, see docs/build.md")
set(IMPACT_ITK_SOURCE_DIR "" CACHE PATH "Sources of ITK 5.4.7; empty: looked for, see docs/build.md")
set(IMPACT_HEADERS_DIR "" CACHE PATH "What benchmarks/pack_headers.py packed; empty: the sources of elastix and ITK")

# Our binaries share C++ classes with torch and itk-elastix, so they fit no other versions.
function(_impact_check_versions torch itk_elastix)
  if(torch VERSION_GREATER_EQUAL 2.8 AND torch VERSION_LESS 2.16
     AND itk_elastix VERSION_GREATER_EQUAL 0.25.2 AND itk_elastix VERSION_LESS 0.25.4)
    return()
  endif()
  foreach(name IN ITEMS torch itk_elastix)
    if(NOT ${name})
      set(${name} "(not installed)")
    endif()
  endforeach()
  message(FATAL_ERROR
    "impact-plugin needs torch >=2.8,<2.16 and itk-elastix >=0.25.2,<0.25.4: "
    "found torch ${torch} and itk-elastix ${itk_elastix} in ${Python_EXECUTABLE}.\n"
    "Run: ${Python_EXECUTABLE} -m pip install 'torch>=2.8,<2.16' 'itk-elastix>=0.25.2,<0.25.4'")
endfunction()

# What to compile with, into impact_host.cmake. In a function, because the package files of ITK and elastix set dozens of
# variables.
function(_impact_find_headers file)
  find_package(ITK REQUIRED NO_MODULE NO_DEFAULT_PATH PATHS "${IMPACT_ITK_BINARY_DIR}")
  find_package(Elastix REQUIRED NO_MODULE NO_DEFAULT_PATH PATHS "${IMPACT_ELASTIX_BINARY_DIR}")
  separate_arguments(flags NATIVE_COMMAND "${ITK_REQUIRED_CXX_FLAGS}")
  file(WRITE "${file}"
    "set(_impact_flags \"${flags}\")\n"
    "set(_impact_include_dirs \"${ITK_INCLUDE_DIRS};${ELASTIX_INCLUDE_DIRS}\")\n"
    "set(IMPACT_ELASTIX_SOURCE_DIR \"${IMPACT_ELASTIX_SOURCE_DIR}\")\n")
endfunction()

function(_impact_add_host itk_dir)
  add_library(impact_host INTERFACE)
  target_compile_features(impact_host INTERFACE cxx_std_17)
  target_compile_options(impact_host INTERFACE ${_impact_flags})
  # The wheel's virtual tables depend on it. itkConfigure.h says the same; here it cannot be missed.
  target_compile_definitions(impact_host INTERFACE ITK_LEGACY_REMOVE=)
  target_include_directories(impact_host SYSTEM INTERFACE ${_impact_include_dirs})
  # Named by -l:, since the library has no SONAME and its path would end up in our binaries. What it wants of Python
  # comes from the interpreter that loads it.
  target_link_directories(impact_host INTERFACE "${itk_dir}")
  target_link_libraries(impact_host INTERFACE -l:_ElastixPython.abi3.so)
  target_link_options(impact_host INTERFACE -Wl,--allow-shlib-undefined)
endfunction()

function(_impact_add_torch series torch_dir)
  set(include_dir "${torch_dir}/include")
  add_library(impact_torch_${series} INTERFACE)
  if(series VERSION_GREATER_EQUAL 2.14)
    target_compile_features(impact_torch_${series} INTERFACE cxx_std_20) # its headers ask for it
  endif()
  target_include_directories(impact_torch_${series} SYSTEM INTERFACE
    "${include_dir}" "${include_dir}/torch/csrc/api/include")
  # libtorch.so has no symbols of its own, only dependencies: the linker must not drop it.
  target_link_libraries(impact_torch_${series} INTERFACE
    -Wl,--push-state,--no-as-needed
    "${torch_dir}/lib/libtorch.so" "${torch_dir}/lib/libtorch_cpu.so" "${torch_dir}/lib/libc10.so"
    -Wl,--pop-state)
endfunction()

execute_process(
  COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/locate_packages.py"
  OUTPUT_VARIABLE _impact_packages
  COMMAND_ERROR_IS_FATAL ANY)
cmake_language(EVAL CODE "${_impact_packages}")
_impact_check_versions("${_impact_torch_version}" "${_impact_itk_elastix_version}")

if(IMPACT_HEADERS_DIR)
  include("${IMPACT_HEADERS_DIR}/impact_host.cmake")
else()
  set(_impact_sources "${CMAKE_CURRENT_BINARY_DIR}/impact_sources.cmake")
  set(_impact_tools "")
  foreach(_impact_variable IN ITEMS CMAKE_MAKE_PROGRAM CMAKE_C_COMPILER CMAKE_CXX_COMPILER)
    if(${_impact_variable})
      list(APPEND _impact_tools "-D${_impact_variable}=${${_impact_variable}}")
    endif()
  endforeach()
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/obtain_sources.py"
      --cmake-output "${_impact_sources}"
      --elastix-source "${IMPACT_ELASTIX_SOURCE_DIR}" --itk-source "${IMPACT_ITK_SOURCE_DIR}"
      --cmake "${CMAKE_COMMAND}" --cxx "${CMAKE_CXX_COMPILER}"
      -- -G "${CMAKE_GENERATOR}" ${_impact_tools}
    RESULT_VARIABLE _impact_result)
  if(NOT _impact_result EQUAL 0)
    message(FATAL_ERROR "The headers of elastix and ITK are not available; the reason stands above.")
  endif()
  include("${_impact_sources}")
  _impact_find_headers("${CMAKE_CURRENT_BINARY_DIR}/impact_host.cmake")
  include("${CMAKE_CURRENT_BINARY_DIR}/impact_host.cmake")
endif()

set(IMPACT_HOST_LIBRARY "${_impact_itk_dir}/_ElastixPython.abi3.so")
_impact_add_host("${_impact_itk_dir}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _impact_torch_series "${_impact_torch_version}")
set(IMPACT_INSTALLED_TORCH "${_impact_torch_series}")
set(_impact_wanted "${_impact_torch_series}")
if(DEFINED ENV{IMPACT_TORCH_SERIES} AND NOT "$ENV{IMPACT_TORCH_SERIES}" STREQUAL "")
  set(_impact_wanted "$ENV{IMPACT_TORCH_SERIES}")
endif()
set(IMPACT_TORCH_SERIES "${_impact_wanted}" CACHE STRING
  "Minor versions of torch to build for, as in 2.8;2.13: others than the installed one are downloaded (cmake/obtain_torch.py)")
foreach(_impact_series IN LISTS IMPACT_TORCH_SERIES)
  if(_impact_series STREQUAL _impact_torch_series)
    _impact_add_torch(${_impact_series} "${_impact_torch_dir}")
  else()
    execute_process(
      COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/obtain_torch.py" "${_impact_series}"
      OUTPUT_VARIABLE _impact_other_torch OUTPUT_STRIP_TRAILING_WHITESPACE
      COMMAND_ERROR_IS_FATAL ANY)
    _impact_add_torch(${_impact_series} "${_impact_other_torch}")
  endif()
endforeach()

set(pybind11_ROOT "${_impact_pybind11_dir}")
set(IMPACT_TORCH_VERSION "${_impact_torch_version}" CACHE INTERNAL "torch built against")
set(IMPACT_ITK_ELASTIX_VERSION "${_impact_itk_elastix_version}" CACHE INTERNAL "itk-elastix built against")
set(IMPACT_ELASTIX_VERSION "5.3.1" CACHE INTERNAL "elastix inside that itk-elastix")
message(STATUS "impact: torch ${IMPACT_TORCH_VERSION}, itk-elastix ${IMPACT_ITK_ELASTIX_VERSION}")
