#include "impact/features/feature_sampling.h"

#include "impact/base/workers.h"
#include "impact/kernels/processor.h"

#include <algorithm>

namespace impact
{
namespace
{

const TorchGrid &
deviceGridOf(const FeatureMap & map)
{
  if (!map.torchGrid)
  {
    map.torchGrid = std::make_shared<TorchGrid>(map.grid, map.rows.device());
  }
  return *map.torchGrid;
}

FeatureGrid
gridOf(const FeatureMap & map)
{
  FeatureGrid  grid{};
  const Matrix toIndex = map.grid.physicalToIndex();
  const bool   isHalf = map.rows.scalar_type() == at::kHalf;
  grid.rows = isHalf ? nullptr : map.rows.const_data_ptr<float>();
  grid.halves = isHalf ? reinterpret_cast<const std::uint16_t *>(map.rows.const_data_ptr<at::Half>()) : nullptr;
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
sampleFeatures(const FeatureMap & map,
               const at::Tensor & points,
               const at::Tensor & channels,
               bool               withGradient,
               Engine             engine)
{
  if (engine == Engine::Torch)
  {
    auto [values, partials] = deviceGridOf(map).interpolate(map.rows, points, channels, withGradient);
    return { values, partials };
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
pullBackToPoints(const FeatureMap &      map,
                 const at::Tensor &      points,
                 const SampledFeatures & sampled,
                 const at::Tensor &      gradient,
                 Engine                  engine)
{
  if (engine == Engine::Torch)
  {
    return deviceGridOf(map).perMillimetre((sampled.partials * gradient.unsqueeze(1)).sum(2));
  }
  const std::int64_t  wanted = gradient.size(1);
  const at::Tensor    dense = gradient.contiguous();
  const at::Tensor    result = at::empty({ points.size(0), 3 }, points.options());
  const FeatureGrid   grid = gridOf(map);
  const float * const partials = sampled.partials.const_data_ptr<float>();
  const float * const from = dense.const_data_ptr<float>();
  double * const      to = result.data_ptr<double>();
  forSamples(points.size(0), [&](std::int64_t first, std::int64_t count) {
    samplingKernels().pullBackToPoints(
      grid, partials + 3 * first * wanted, from + first * wanted, count, wanted, to + 3 * first);
  });
  return result;
}

} // namespace impact
