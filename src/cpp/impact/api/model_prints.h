#pragma once

#include "impact/base/export.h"

namespace impact
{

/** From now on lines that models print begin with "Model prints: ", so that whoever reads the output of this process
 * does not take them for elastix's; after some hundred of them there are no more. For programs of our own: what becomes
 * of prints is a setting of the process. */
IMPACT_API void markPrints();

} // namespace impact
