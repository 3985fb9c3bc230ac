#include "impact/models/repeatability.h"

#include "impact/models/layer_layout.h"
#include "impact/models/time_limit.h"

#include <algorithm>

namespace impact
{
namespace
{

using Layers = std::vector<at::Tensor>;

/** Whether layers are the same, up to rounding: on a GPU sums run in any order. */
bool
areAlike(const Layers & first, const Layers & second)
{
  constexpr double tolerance = 1e-3; // of the largest feature
  return first.size() == second.size() &&
         std::equal(first.begin(), first.end(), second.begin(), [](const at::Tensor & a, const at::Tensor & b) {
           return a.sizes() == b.sizes() &&
                  at::allclose(
                    a, b, 0.0, tolerance * std::max(1e-30, at::nan_to_num(a).abs().max().item<double>()), true);
         });
}

Layers
run(const ModelSettings &               settings,
    const std::array<std::int64_t, 3> & size,
    const Model &                       model,
    const ImageContext &                context)
{
  const auto shape = inputShape(1, settings.numberOfChannels, settings.dimension, size);
  return model.selected(irregularImage(shape, -1.0, 1.0).to(context.statistics.device()), settings.layersMask, context);
}

} // namespace

void
checkRepeats(const ModelSettings &               settings,
             const std::array<std::int64_t, 3> & size,
             const Model &                       model,
             const ImageContext &                context)
{
  if (model.isKnownToRepeat(settings.layersMask, settings.dimension, settings.numberOfChannels, context.direction))
  {
    return;
  }
  std::array<std::int64_t, 3> used = size; // 24 voxels a side are enough for most networks
  std::transform(size.begin(), size.end(), used.begin(), [](std::int64_t n) { return std::min<std::int64_t>(n, 24); });
  Layers first;
  try
  {
    first = run(settings, used, model, context);
  }
  catch (const TimeLimitError &)
  {
    throw;
  }
  catch (const Error &)
  {
    used = size;
    first = run(settings, used, model, context);
  }
  if (!areAlike(first, run(settings, used, model, context)))
  {
    throw ModelError(model.path(),
                     " gives other features when it is called a second time with the same input, so that no two images "
                     "can be compared by it.",
                     "Save it without dropout, noise and layers that change with each call: call "
                     "eval() before it is traced or scripted.");
  }
}

} // namespace impact
