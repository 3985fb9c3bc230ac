#pragma once

#include "impact/base/geometry.h"

#include <array>
#include <cstdint>
#include <optional>

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

/** A layer as measured for one input. */
struct MeasuredLayer
{
  std::int64_t                channels;
  std::array<std::int64_t, 3> size;           // x, y, z; 1 along z in 2D
  bool                        differentiable; // with respect to the input
  std::optional<LayerLayout>  layout;         // none where it cannot be differentiated, or depends on all of the input
};

} // namespace impact
