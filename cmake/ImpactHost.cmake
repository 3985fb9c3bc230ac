# What our binaries compile against and link with, none of it built here:
#
#   impact_torch_<series>  libtorch: headers and libraries of a torch wheel, for each minor version wanted
#   impact_host            elastix and ITK, in several versions: ImpactElastix.cmake
#
# Needs find_package(Python COMPONENTS Interpreter ...) first. Leaves IMPACT_TORCH_SERIES and IMPACT_INSTALLED_TORCH, which is
# one of them or not, and sets pybind11_ROOT for find_package(pybind11).
#
# CUDA needs nothing at build time: libtorch.so brings its CUDA libraries itself, so one binary serves both builds.

include_guard(GLOBAL)
include(ImpactVersions)

# The minor versions of torch to build for: IMPACT_TORCH_SERIES (CMake or environment variable, "2.8;2.13"), of which others
# than the installed one are downloaded; without it the installed one. With IMPACT_TORCH_KEPT=1 in the environment it is, too: in
# one place for all Pythons, and what is of no Python is compiled once.
function(_impact_choose_torches installed_version)
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" installed "${installed_version}")
  impact_wanted(wanted IMPACT_TORCH_SERIES)
  if(NOT wanted)
    set(wanted "${installed}")
  endif()
  foreach(series IN LISTS wanted)
    if(NOT series IN_LIST IMPACT_TORCH_MINORS)
      message(FATAL_ERROR
        "impact-plugin needs torch${IMPACT_TORCH_RANGE}: found torch ${series} (of IMPACT_TORCH_SERIES, or else the installed "
        "one); known are the minor versions ${IMPACT_TORCH_MINORS}.\n"
        "Run: ${Python_EXECUTABLE} -m pip install 'torch${IMPACT_TORCH_RANGE}'")
    endif()
  endforeach()
  if(NOT wanted)
    message(FATAL_ERROR
      "impact-plugin needs torch${IMPACT_TORCH_RANGE}: found none in ${Python_EXECUTABLE}.\n"
      "Run: ${Python_EXECUTABLE} -m pip install 'torch${IMPACT_TORCH_RANGE}'")
  endif()
  set(IMPACT_TORCH_SERIES "${wanted}" PARENT_SCOPE)
  set(IMPACT_INSTALLED_TORCH "${installed}" PARENT_SCOPE)
endfunction()

function(_impact_add_torch series torch_dir)
  set(include_dir "${torch_dir}/include")
  add_library(impact_torch_${series} INTERFACE)
  if(series VERSION_GREATER_EQUAL 2.14)
    target_compile_features(impact_torch_${series} INTERFACE cxx_std_20) # its headers ask for it
    # False alarms of GCC 12 and 13 at std::string in C++20.
    target_compile_options(impact_torch_${series} INTERFACE
      $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-stringop-overflow;-Wno-array-bounds>)
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

_impact_choose_torches("${_impact_torch_version}")
foreach(_impact_series IN LISTS IMPACT_TORCH_SERIES)
  set(_impact_directory "${_impact_torch_dir}")
  if("$ENV{IMPACT_TORCH_KEPT}" OR NOT _impact_series STREQUAL IMPACT_INSTALLED_TORCH)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/obtain_torch.py" "${_impact_series}"
      OUTPUT_VARIABLE _impact_directory OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _impact_result)
    if(NOT _impact_result EQUAL 0)
      message(FATAL_ERROR "torch ${_impact_series} is not available; the reason stands above.")
    endif()
  endif()
  _impact_add_torch(${_impact_series} "${_impact_directory}")
  cmake_path(GET _impact_directory PARENT_PATH _impact_torch_packages_${_impact_series}) # not to be named in binaries
endforeach()
message(STATUS "impact: torch ${IMPACT_TORCH_SERIES}")

include(ImpactElastix)

set(pybind11_ROOT "${_impact_pybind11_dir}")
