#ifndef elxImpactFeatureMaps_h
#define elxImpactFeatureMaps_h

#include "impact/api/similarity.h"
#include "impact/base/finding.h"
#include "impact/settings/settings.h"

#include <string>
#include <vector>

namespace elastix
{

/** Makes the folder for WriteFeatureMaps, where the level has one, and tries to write to it. "true" becomes the folder
 * FeatureMaps in elastix's output folder, or in the current one where there is none. */
void PrepareFeatureMapsFolder(impact::LevelSettings &        settings,
                              const std::string &            outputFolder,
                              std::vector<impact::Finding> & findings);

/** Writes a map as <folder>/<name>.mha, with its geometry. \throws impact::Error naming the file. */
void WriteFeatureMap(const std::string & folder, const impact::MapToWrite & map);

} // namespace elastix

#endif
