#pragma once

#include "impact/base/geometry.h"
#include "impact/settings/settings.h"

namespace impact
{

/** How a model sees both images: along the fixed image's own axes, taken in the order and the sense that are nearest to
 * the world's, so that the way in which voxels are stored changes nothing. */
struct ModelView
{
  Matrix        axes;     // direction cosines, columns
  ModelSettings settings; // sizes in the order of these axes
};

/** A 2D model that goes through a 3D image slice by slice (Static mode) keeps the image's third axis as its own. */
ModelView viewOf(const ModelSettings & settings, const Grid & fixedImage, Mode mode);

} // namespace impact
