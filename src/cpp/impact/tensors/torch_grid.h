#pragma once

#include "impact/base/geometry.h"
#include "impact/runtime/torch_headers.h"

#include <utility>

namespace impact
{

/** Values at points, and what their derivatives are made from. */
struct Interpolated
{
  at::Tensor values;   // N x C, float
  at::Tensor partials; // N x 3 x C, along the axes of the grid; undefined where not asked for
};

/** The geometry of an image or feature map on a device, and linear interpolation in it: by torch's operations, without
 * a graph and without waiting for the device.
 *
 * What the kernels of the CPU do, with the same rules: beyond the outermost voxel centres the edge's value holds, and
 * the derivative across the edge is zero. Points are N x 3, physical, mm, double. */
class TorchGrid
{
public:
  TorchGrid(const Grid & grid, at::Device device);

  /** Whether points lie in the image, up to half a voxel beyond the outermost voxel centres: N, bool. */
  at::Tensor isInside(const at::Tensor & points) const;

  /** The number of the voxel that is nearest to each point, and whether there is one: N, long and bool. */
  std::pair<at::Tensor, at::Tensor> nearestVoxels(const at::Tensor & points) const;

  /** \param rows voxels x C, float
   * \param channels the columns wanted; undefined: all */
  Interpolated
  interpolate(const at::Tensor & rows, const at::Tensor & points, const at::Tensor & channels, bool withPartials) const;

  /** From derivatives along the axes, per voxel, to derivatives per mm. \param perIndex N x 3 */
  at::Tensor
  perMillimetre(const at::Tensor & perIndex) const
  {
    return perIndex.to(at::kDouble).matmul(m_ToIndex);
  }

private:
  /** Points as indices, double. */
  at::Tensor indices(const at::Tensor & points) const;

  std::array<std::int64_t, 3> m_Size;
  at::Tensor                  m_ToIndex; // 3 x 3, double
  at::Tensor                  m_Origin;
  at::Tensor                  m_Last; // the last index along each axis, double
};

} // namespace impact
