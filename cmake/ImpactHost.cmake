# What our binaries compile against and link with, none of it built here:
#
#   impact_torch  libtorch: headers and libraries of the installed torch wheel
#   impact_host   elastix and ITK, in several versions: ImpactElastix.cmake
#
# Needs find_package(Python COMPONENTS Interpreter ...) first. Leaves IMPACT_TORCH_VERSION in the cache, and sets
# pybind11_ROOT for find_package(pybind11).
#
# CUDA needs nothing at build time: libtorch.so brings its CUDA libraries itself, so one binary serves both builds.

include_guard(GLOBAL)
include(ImpactVersions)

# Our binaries share C++ classes with torch, so they fit no other version.
function(_impact_check_torch torch)
  if(torch VERSION_GREATER_EQUAL 2.13 AND torch VERSION_LESS 2.14)
    return()
  endif()
  if(NOT torch)
    set(torch "(not installed)")
  endif()
  message(FATAL_ERROR
    "impact-plugin needs torch 2.13.*: found torch ${torch} in ${Python_EXECUTABLE}.\n"
    "Run: ${Python_EXECUTABLE} -m pip install 'torch==2.13.*'")
endfunction()

function(_impact_add_torch torch_dir)
  set(include_dir "${torch_dir}/include")
  add_library(impact_torch INTERFACE)
  target_compile_features(impact_torch INTERFACE cxx_std_17)
  target_include_directories(impact_torch SYSTEM INTERFACE "${include_dir}" "${include_dir}/torch/csrc/api/include")
  # libtorch.so has no symbols of its own, only dependencies: the linker must not drop it.
  target_link_libraries(impact_torch INTERFACE
    -Wl,--push-state,--no-as-needed
    "${torch_dir}/lib/libtorch.so" "${torch_dir}/lib/libtorch_cpu.so" "${torch_dir}/lib/libc10.so"
    -Wl,--pop-state)
endfunction()

execute_process(
  COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/locate_packages.py"
  OUTPUT_VARIABLE _impact_packages
  COMMAND_ERROR_IS_FATAL ANY)
cmake_language(EVAL CODE "${_impact_packages}")

_impact_check_torch("${_impact_torch_version}")
_impact_add_torch("${_impact_torch_dir}")
set(IMPACT_TORCH_VERSION "${_impact_torch_version}" CACHE INTERNAL "torch built against")
message(STATUS "impact: torch ${IMPACT_TORCH_VERSION}")

include(ImpactElastix)

set(pybind11_ROOT "${_impact_pybind11_dir}")
