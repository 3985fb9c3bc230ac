#pragma once

#include "impact/settings/level_context.h"
#include "impact/settings/settings.h"

#include <string>
#include <vector>

namespace impact
{

/** Reads the models of one image at one resolution level.
 *
 * \param side "Fixed" or "Moving": `Fixed<Name>` is looked for before `<Name>` */
std::vector<ModelSettings> parseModels(LevelContext & context, const std::string & side, Mode mode);

} // namespace impact
