#pragma once

#include "impact/base/finding.h"
#include "impact/base/geometry.h"

#include <string>
#include <vector>

namespace impact
{

/** What makes an image one that cannot be registered, or hardly: values that are no numbers, axes that are not at right
 * angles, an origin so far away that its voxels lie upon each other; a single value throughout, as a warning.
 *
 * \param name as messages have it: the fixed image */
std::vector<Finding> checkImage(const ImageView & image, const std::string & name);

} // namespace impact
