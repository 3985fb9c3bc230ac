# What the wheel says of its parts, beside its metadata: the software bill of materials, and the licences of what is compiled
# in. Nothing outside a build by scikit-build-core, which alone knows where metadata go.

if(NOT DEFINED SKBUILD_METADATA_DIR)
  return()
endif()

set(_impact_bill "${CMAKE_CURRENT_BINARY_DIR}/impact-plugin.cdx.json")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env --unset=PYTHONPYCACHEPREFIX
    "${Python_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/bill_of_materials.py" "${_impact_bill}"
    --version "${SKBUILD_PROJECT_VERSION_FULL}" --compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
    --hosts ${IMPACT_BUILT_HOSTS}
  COMMAND_ERROR_IS_FATAL ANY)
install(FILES "${_impact_bill}" DESTINATION "${SKBUILD_METADATA_DIR}/sboms")

set(_impact_licenses "${SKBUILD_METADATA_DIR}/licenses/compiled_in")
foreach(_impact_source IN ITEMS ELASTIX ITK)
  set(_impact_folder "${IMPACT_${_impact_source}_SOURCE_DIR}")
  string(TOLOWER "${_impact_source}" _impact_name)
  install(FILES "${_impact_folder}/LICENSE" "${_impact_folder}/NOTICE" DESTINATION "${_impact_licenses}/${_impact_name}"
    OPTIONAL)
endforeach()
set(_impact_folder "${IMPACT_ITK_SOURCE_DIR}/Modules/ThirdParty")
install(FILES "${_impact_folder}/Eigen3/src/itkeigen/COPYING.MPL2" DESTINATION "${_impact_licenses}/eigen")
install(FILES "${_impact_folder}/VNL/src/vxl/core/vxl_copyright.h" DESTINATION "${_impact_licenses}/vxl")
foreach(_impact_package IN ITEMS torch pybind11)
  cmake_path(GET _impact_${_impact_package}_dir PARENT_PATH _impact_folder)
  file(GLOB _impact_license "${_impact_folder}/${_impact_package}-*.dist-info/licenses/LICENSE")
  if(_impact_license)
    install(FILES ${_impact_license} DESTINATION "${_impact_licenses}/${_impact_package}")
  endif()
endforeach()
