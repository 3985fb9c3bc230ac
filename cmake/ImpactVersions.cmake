# Which torch and which itk-elastix fit: src/python/impact_plugin/versions.json is the one place that says it. From it:
#
#   IMPACT_TORCH_MINORS                 2.8;2.9;...
#   IMPACT_TORCH_RANGE                  as pip writes it: >=2.8,<2.16
#   IMPACT_HOST_FOLDERS                 one for each layout of elastix's classes, the folder of what is built for it
#   IMPACT_HOST_VERSIONS_<folder>       the versions of itk-elastix that have it; _ELASTIX_, _COMMIT_: what they contain
#   IMPACT_ITK_ELASTIX_RANGE            >=0.25.2,<0.26
#   IMPACT_HOST_TABLE                   for the loader: elastix-0.25.2=0.25.2,0.25.3 ...

include_guard(GLOBAL)

set(_impact_versions "${CMAKE_CURRENT_LIST_DIR}/../src/python/impact_plugin/versions.json")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_impact_versions}")

function(_impact_json_list json variable)
  string(JSON count LENGTH "${json}" ${ARGN})
  math(EXPR last "${count} - 1")
  set(values "")
  foreach(n RANGE ${last})
    string(JSON value GET "${json}" ${ARGN} ${n})
    list(APPEND values "${value}")
  endforeach()
  set(${variable} "${values}" PARENT_SCOPE)
endfunction()

# From the first version to before the minor version after the last: 0.25.4 gives 0.26.
function(_impact_range variable first last)
  string(REPLACE "." ";" numbers "${last}")
  list(GET numbers 0 major)
  list(GET numbers 1 minor)
  math(EXPR next "${minor} + 1")
  set(${variable} ">=${first},<${major}.${next}" PARENT_SCOPE)
endfunction()

function(_impact_read_versions)
  file(READ "${_impact_versions}" json)
  _impact_json_list("${json}" minors torch)
  list(GET minors 0 first)
  list(GET minors -1 last)
  _impact_range(range "${first}" "${last}")
  set(IMPACT_TORCH_MINORS "${minors}" PARENT_SCOPE)
  set(IMPACT_TORCH_RANGE "${range}" PARENT_SCOPE)

  string(JSON count LENGTH "${json}" hosts)
  math(EXPR last "${count} - 1")
  set(folders "")
  set(every "")
  set(table "")
  foreach(n RANGE ${last})
    string(JSON folder GET "${json}" hosts ${n} folder)
    string(JSON elastix GET "${json}" hosts ${n} elastix)
    string(JSON commit GET "${json}" hosts ${n} commit)
    _impact_json_list("${json}" versions hosts ${n} itk_elastix)
    list(APPEND folders "${folder}")
    list(APPEND every ${versions})
    string(REPLACE ";" "," row "${versions}")
    string(APPEND table "${folder}=${row} ")
    set(IMPACT_HOST_VERSIONS_${folder} "${versions}" PARENT_SCOPE)
    set(IMPACT_HOST_ELASTIX_${folder} "${elastix}" PARENT_SCOPE)
    set(IMPACT_HOST_COMMIT_${folder} "${commit}" PARENT_SCOPE)
  endforeach()
  list(GET every 0 first)
  list(GET every -1 last)
  _impact_range(range "${first}" "${last}")
  set(IMPACT_HOST_FOLDERS "${folders}" PARENT_SCOPE)
  set(IMPACT_ITK_ELASTIX_RANGE "${range}" PARENT_SCOPE)
  string(STRIP "${table}" table)
  set(IMPACT_HOST_TABLE "${table}" PARENT_SCOPE)
endfunction()
_impact_read_versions()

# What a CMake variable asks for, or else the environment variable of that name: versions, separated by ; or commas.
function(impact_wanted result variable)
  set(wanted "${${variable}}")
  if(NOT wanted)
    set(wanted "$ENV{${variable}}")
  endif()
  string(REPLACE "," ";" wanted "${wanted}")
  set(${result} "${wanted}" PARENT_SCOPE)
endfunction()

# The folder for a version of itk-elastix; empty where none fits. What comes after the third number does not matter: 0.25.3.1.
function(impact_host_folder variable version)
  set(${variable} "" PARENT_SCOPE)
  foreach(folder IN LISTS IMPACT_HOST_FOLDERS)
    foreach(known IN LISTS IMPACT_HOST_VERSIONS_${folder})
      if("${version}." MATCHES "^${known}[.]")
        set(${variable} "${folder}" PARENT_SCOPE)
      endif()
    endforeach()
  endforeach()
endfunction()
