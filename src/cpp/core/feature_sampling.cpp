#include "feature_sampling.h"

#include "channels.h"
#include "kernels/processor.h"
#include "workers.h"

#include <algorithm>

namespace impact
{
namespace
{

/** By torch's own operations, on any device, for autograd to follow. */
at::Tensor
sampleByTorch(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels)
{
  const auto toTensor = [&points](const Matrix & m) {
    return at::tensor({ m[0][0], m[0][1], m[0][2], m[1][0], m[1][1], m[1][2], m[2][0], m[2][1], m[2][2] }, at::kDouble)
      .view({ 3, 3 })
      .to(points.device());
  };
  const auto & size = map.grid.size;
  const auto   origin =
    at::tensor({ map.grid.origin[0], map.grid.origin[1], map.grid.origin[2] }, at::kDouble).to(points.device());
  const auto index = at::matmul(points - origin, toTensor(map.grid.physicalToIndex()).t());

  // The eight corners are built axis by axis: each axis doubles the flat indices and the weights.
  at::Tensor   corners = at::zeros({ points.size(0), 1 }, at::dtype(at::kLong).device(points.device()));
  at::Tensor   weights = at::ones({ points.size(0), 1 }, at::dtype(at::kFloat).device(points.device()));
  std::int64_t step = 1;
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t n = size[static_cast<std::size_t>(axis)];
    if (n > 1)
    {
      const at::Tensor place = index.select(1, axis).clamp(0.0, static_cast<double>(n - 1));
      const at::Tensor lower = place.detach().floor().clamp_max(static_cast<double>(n - 2));
      const at::Tensor fraction = (place - lower).to(at::kFloat).unsqueeze(1);
      const at::Tensor base = corners + lower.to(at::kLong).unsqueeze(1) * step;
      corners = at::cat({ base, base + step }, 1);
      weights = at::cat({ weights * (1.0 - fraction), weights * fraction }, 1);
    }
    step *= n;
  }
  at::Tensor values = map.rows.index_select(0, corners.reshape({ -1 }));
  values = columns(values, channels);
  values = values.view({ corners.size(0), corners.size(1), values.size(1) });
  return at::bmm(weights.unsqueeze(1), values).squeeze(1);
}

FeatureGrid
gridOf(const FeatureMap & map)
{
  FeatureGrid  grid{};
  const Matrix toIndex = map.grid.physicalToIndex();
  grid.rows = map.rows.const_data_ptr<float>();
  grid.channels = map.rows.size(1);
  for (std::size_t i = 0; i < 3; ++i)
  {
    grid.size[i] = map.grid.size[i];
    grid.origin[i] = map.grid.origin[i];
    std::copy(toIndex[i].begin(), toIndex[i].end(), grid.toIndex + 3 * i);
  }
  return grid;
}

/** Calls the function with the first of some samples and their number, from the threads. */
template <typename Function>
void
forSamples(std::int64_t count, const Function & function)
{
  constexpr std::int64_t perTask = 128;
  inParallel((count + perTask - 1) / perTask,
             [&](std::int64_t task) { function(task * perTask, std::min(perTask, count - task * perTask)); });
}

} // namespace

SampledFeatures
sampleFeatures(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels, bool withGradient)
{
  if (!map.rows.is_cpu())
  {
    return { sampleByTorch(map, points, channels), {} };
  }
  const std::int64_t         wanted = channels.defined() ? channels.numel() : map.rows.size(1);
  const FeatureGrid          grid = gridOf(map);
  const double * const       from = points.const_data_ptr<double>();
  const std::int64_t * const chosen = channels.defined() ? channels.const_data_ptr<std::int64_t>() : nullptr;
  SampledFeatures            result;
  result.values = at::empty({ points.size(0), wanted }, at::kFloat);
  result.partials = withGradient ? at::empty({ points.size(0), 3, wanted }, at::kFloat) : at::Tensor();
  float * const values = result.values.data_ptr<float>();
  float * const partials = withGradient ? result.partials.data_ptr<float>() : nullptr;
  forSamples(points.size(0), [&](std::int64_t first, std::int64_t count) {
    samplingKernels().gather(grid,
                             from + 3 * first,
                             count,
                             chosen,
                             wanted,
                             values + first * wanted,
                             partials ? partials + 3 * first * wanted : nullptr);
  });
  return result;
}

at::Tensor
pullBack(const FeatureMap &      map,
         const at::Tensor &      points,
         const at::Tensor &      channels,
         const SampledFeatures & sampled,
         const at::Tensor &      gradient)
{
  if (!map.rows.is_cpu())
  {
    at::AutoGradMode gradients(true);
    const at::Tensor free = points.detach().requires_grad_(true);
    const at::Tensor features = sampleByTorch(map, free, channels);
    // Maps of one voxel are the same everywhere.
    return features.requires_grad() ? torch::autograd::grad({ features }, { free }, { gradient })[0]
                                    : at::zeros_like(points);
  }
  const std::int64_t  wanted = gradient.size(1);
  const at::Tensor    dense = gradient.contiguous();
  const at::Tensor    result = at::empty({ points.size(0), 3 }, points.options());
  const FeatureGrid   grid = gridOf(map);
  const float * const partials = sampled.partials.const_data_ptr<float>();
  const float * const from = dense.const_data_ptr<float>();
  double * const      to = result.data_ptr<double>();
  forSamples(points.size(0), [&](std::int64_t first, std::int64_t count) {
    samplingKernels().pullBack(
      grid, partials + 3 * first * wanted, from + first * wanted, count, wanted, to + 3 * first);
  });
  return result;
}

} // namespace impact
