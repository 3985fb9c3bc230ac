#include "impact/tensors/torch_grid.h"

#include <algorithm>

namespace impact
{

TorchGrid::TorchGrid(const Grid & grid, at::Device device)
  : m_Size(grid.size)
{
  const Matrix        toIndex = grid.physicalToIndex();
  std::vector<double> numbers;
  for (const Vector & row : toIndex)
  {
    numbers.insert(numbers.end(), row.begin(), row.end());
  }
  numbers.insert(numbers.end(), grid.origin.begin(), grid.origin.end());
  for (const std::int64_t n : grid.size)
  {
    numbers.push_back(static_cast<double>(n - 1));
  }
  const at::Tensor all = at::tensor(numbers, at::kDouble).to(device);
  m_ToIndex = all.narrow(0, 0, 9).view({ 3, 3 });
  m_Origin = all.narrow(0, 9, 3);
  m_Last = all.narrow(0, 12, 3);
}

at::Tensor
TorchGrid::indices(const at::Tensor & points) const
{
  return (points - m_Origin).matmul(m_ToIndex.t());
}

at::Tensor
TorchGrid::isInside(const at::Tensor & points) const
{
  const at::Tensor index = indices(points);
  return at::logical_and(index >= -0.5, index < m_Last + 0.5).all(1);
}

std::pair<at::Tensor, at::Tensor>
TorchGrid::nearestVoxels(const at::Tensor & points) const
{
  const at::Tensor nearest = (indices(points) + 0.5).floor();
  const at::Tensor inside = at::logical_and(nearest >= 0.0, nearest <= m_Last).all(1, true);
  const at::Tensor voxel = at::where(inside, nearest, 0.0).to(at::kLong);
  return { voxel.select(1, 0) + m_Size[0] * (voxel.select(1, 1) + m_Size[1] * voxel.select(1, 2)),
           inside.select(1, 0) };
}

Interpolated
TorchGrid::interpolate(const at::Tensor & rows,
                       const at::Tensor & points,
                       const at::Tensor & channels,
                       bool               withPartials) const
{
  const at::Tensor index = indices(points);
  // What is no number counts as the first voxel, as on the CPU.
  const at::Tensor place = at::minimum(at::where(index > 0.0, index, 0.0), m_Last);
  const at::Tensor lower = at::minimum(place.floor(), (m_Last - 1.0).clamp_min(0.0));
  const at::Tensor fraction = (place - lower).to(at::kFloat).unsqueeze(2); // N x 3 x 1
  const at::Tensor voxel = lower.to(at::kLong);

  // The numbers of the eight corners, x fastest.
  at::Tensor   corners = at::zeros({ points.size(0), 1 }, voxel.options());
  std::int64_t stride = 1;
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const at::Tensor base = corners + stride * voxel.narrow(1, static_cast<std::int64_t>(axis), 1);
    corners = at::cat({ base, m_Size[axis] > 1 ? base + stride : base }, 1);
    stride *= m_Size[axis];
  }
  at::Tensor values = rows.index_select(0, corners.view({ -1 }));
  values = (channels.defined() ? values.index_select(1, channels) : values).to(at::kFloat);
  values = values.view({ points.size(0), 2, 2, 2, values.size(1) }); // N x z x y x x x C

  // Axis by axis: each step halves the values, and the partials along the axes before, and adds those along its own.
  at::Tensor              along = values;
  std::vector<at::Tensor> partials;
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t        dim = 3 - axis;
    std::vector<std::int64_t> shape(static_cast<std::size_t>(along.dim() - 1), 1);
    shape.front() = points.size(0);
    const at::Tensor t = fraction.select(1, axis).view(shape);
    const auto       halved = [&](const at::Tensor & both) {
      const at::Tensor first = both.select(dim, 0);
      return first + t * (both.select(dim, 1) - first);
    };
    if (withPartials)
    {
      for (at::Tensor & partial : partials)
      {
        partial = halved(partial);
      }
      partials.push_back(along.select(dim, 1) - along.select(dim, 0));
    }
    along = halved(along);
  }
  Interpolated result{ along, {} };
  if (withPartials)
  {
    const at::Tensor inside = at::logical_and(index >= 0.0, index <= m_Last).to(at::kFloat).unsqueeze(2);
    result.partials = at::stack(partials, 1) * inside;
  }
  return result;
}

} // namespace impact
