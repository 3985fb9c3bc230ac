#pragma once

#include "impact/base/finding.h"
#include "impact/settings/parameter_reader.h"

#include <vector>

namespace impact
{

/** Refuses components of elastix beside which the metric would run and find nothing, or do other than the map says:
 * those of groupwise registration, of projections, of several images at once, and transforms without parameters. */
void findUnfitComponents(const ParameterMap & map, std::vector<Finding> & findings);

} // namespace impact
