#pragma once

#include "impact/base/finding.h"
#include "impact/settings/parameter_reader.h"
#include "impact/settings/settings.h"

#include <set>
#include <string>
#include <vector>

namespace impact
{

struct ParsedSettings
{
  std::vector<LevelSettings> levels;
  std::vector<Finding>       findings;
};

/** Reads the settings of every resolution level and reports everything that is wrong or doubtful, all at once.
 *
 * `label` is the metric's name in a map of several metrics (`Metric0`, `Metric1`), which may stand in front of any
 * parameter. No file is opened and no model is run. */
ParsedSettings
parseSettings(const ParameterMap & map, const std::string & label, int numberOfLevels, int imageDimension);

/** The parameters of the map that were read, as the user wrote them: not those that stand there without being used. */
std::set<std::string> namesRead(const ParsedSettings & parsed);

} // namespace impact
