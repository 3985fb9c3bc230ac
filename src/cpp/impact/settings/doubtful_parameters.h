#pragma once

#include "impact/base/finding.h"
#include "impact/settings/parameter_reader.h"

#include <string>
#include <vector>

namespace impact
{

/** Warns of what a map says to no effect: names that are nearly a parameter's, names that start with `Impact` and are
 * none, parameters of levels that there are not, and parameters that another spelling of the same one outranks. */
void findDoubtfulParameters(const ParameterMap &   map,
                            const std::string &    label,
                            int                    numberOfLevels,
                            std::vector<Finding> & findings);

} // namespace impact
