#pragma once

#include "impact/base/geometry.h"

namespace impact
{

/** Where the voxels of a layer lie in the model's input: voxel j of the layer at input index offset + stride * j. Axes
 * x, y, z. */
struct LayerLayout
{
  Vector stride{ 1.0, 1.0, 1.0 };
  Vector offset{ 0.0, 0.0, 0.0 };

  /** How many input voxels to each side of its centre a layer voxel depends on; measured layouts only. */
  Vector reach{ 0.0, 0.0, 0.0 };
};

} // namespace impact
