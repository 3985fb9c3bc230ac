#ifndef elxImpactParameterMap_h
#define elxImpactParameterMap_h

#include "elxConfiguration.h"

#include "impact/settings/parameter_reader.h"

namespace elastix
{

/** The whole parameter map that elastix was given, so that names can be found that nobody asks for. */
impact::ParameterMap ParameterMapOf(const Configuration & configuration);

} // namespace elastix

#endif
