#pragma once

#include "impact/base/finding.h"
#include "impact/settings/parameter_reader.h"
#include "impact/settings/settings.h"

#include <vector>

namespace impact
{

/** Refuses components of elastix beside which the metric would run and find nothing, or do other than the map says:
 * those of groupwise registration, of projections, of several images at once, and transforms without parameters. */
void findUnfitComponents(const ParameterMap & map, std::vector<Finding> & findings);

/** Where a level has a BendingEnergyWeight: warns of transforms that cannot bend, and refuses those that can and have
 * no cubic B-spline without a cycle in them. What the map does not say, is elastix's default. */
void findUnfitForBendingEnergy(const ParameterMap & map, const LevelSettings & level, std::vector<Finding> & findings);

/** What is wrong with a weight for a transform, by its name as a message has it. */
Problem unfitForBendingEnergy(double weight, const std::string & transform);

} // namespace impact
