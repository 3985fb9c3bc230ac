#include "patch_field.h"

#include "error.h"

#include <algorithm>

namespace impact
{
namespace
{

/** Shape z x y x x. */
std::vector<std::int64_t>
shapeOfSize(const std::array<std::int64_t, 3> & size)
{
  return { size[2], size[1], size[0] };
}

} // namespace

at::Tensor
probingPatches(const std::array<std::int64_t, 3> & size, const ImageContext & context)
{
  const auto   range = context.statistics.to(at::kCPU, at::kDouble);
  const bool   isRange = at::isfinite(range).all().item<bool>();
  const double low = isRange ? range[0].item<double>() : -1.0;
  const double high = isRange ? range[1].item<double>() : 1.0;

  // A wave whose period fits no grid.
  constexpr std::int64_t count = 2;
  at::Tensor             values = at::arange(count * size[0] * size[1] * size[2], at::dtype(at::kDouble));
  values = (values * 12.9898).sin().mul(43758.5453).frac().abs();
  return (low + (high - low) * values)
    .to(at::kFloat)
    .view({ count, size[2], size[1], size[0] })
    .to(context.statistics.device());
}

std::array<std::int64_t, 3>
sizeSeen(const at::Tensor & input, const std::vector<at::Tensor> & features, const std::array<std::int64_t, 3> & size)
{
  at::AutoGradMode gradientsOn(true);
  at::Tensor       sum = at::zeros({}, features.front().options());
  for (const at::Tensor & layer : features)
  {
    // Channels of either sign must not cancel: a fixed mixture of them does not.
    sum = sum + (layer * at::linspace(0.7, 1.9, layer.numel(), layer.options()).view_as(layer)).sum();
  }
  if (!sum.requires_grad())
  {
    throw Error("The features do not depend on the patch in a way that can be differentiated.");
  }
  const at::Tensor gradient = torch::autograd::grad({ sum }, { input })[0];
  auto             shape = shapeOfSize(size);
  shape.insert(shape.begin(), gradient.size(0));
  const at::Tensor            seen = (gradient != 0).view(shape).any(0).cpu();
  std::array<std::int64_t, 3> result{};
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t dim = 2 - axis;
    const std::int64_t last = seen.size(dim) - 1;
    at::Tensor         any = seen;
    for (std::int64_t other = 2; other >= 0; --other)
    {
      any = other == dim ? any : any.any(other);
    }
    const at::Tensor places = any.nonzero();
    // Cut off alike on both sides, the centre stays where it is.
    const std::int64_t cut =
      places.numel() == 0 ? last / 2 : std::min(places[0].item<std::int64_t>(), last - places[-1].item<std::int64_t>());
    result[static_cast<std::size_t>(axis)] = last + 1 - 2 * std::min(cut, last / 2);
  }
  return result;
}

at::Tensor
middleOf(const at::Tensor & patches, const std::array<std::int64_t, 3> & size)
{
  at::Tensor result = patches;
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t wanted = size[static_cast<std::size_t>(axis)];
    result = result.narrow(3 - axis, (result.size(3 - axis) - wanted) / 2, wanted);
  }
  return result;
}

at::Tensor
withOtherEdges(const at::Tensor & patches, const std::array<std::int64_t, 3> & middle)
{
  at::Tensor result = patches.flip(0).contiguous(); // each gets another's edges
  middleOf(result, middle).copy_(middleOf(patches, middle));
  return result;
}

bool
alike(const std::vector<at::Tensor> & features, const std::vector<at::Tensor> & expected)
{
  for (std::size_t i = 0; i < expected.size(); ++i)
  {
    // On a GPU convolutions of other sizes may run in other, coarser ways.
    const double tolerance = expected[i].is_cpu() ? 1e-5 : 1e-2;
    const double largest = expected[i].abs().max().item<double>();
    const double difference = (features[i] - expected[i]).abs().max().item<double>();
    if (!(difference <= tolerance * largest))
    {
      return false;
    }
  }
  return true;
}

} // namespace impact
