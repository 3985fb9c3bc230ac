#include "impact/patches/patch_field.h"

#include "impact/base/error.h"

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

std::vector<at::Tensor>
probingPatches(const std::array<std::int64_t, 3> & size, const ImageContext & context)
{
  using Range = std::pair<double, double>;
  // Hounsfield units as a whole and of soft tissue, grey values, and what is normalised already.
  std::vector<Range> ranges{ { -1000.0, 1000.0 }, { -150.0, 250.0 }, { 0.0, 255.0 }, { -1.0, 1.0 } };
  const auto         statistics = context.statistics.to(at::kCPU, at::kDouble);
  if (at::isfinite(statistics).all().item<bool>())
  {
    const auto number = [&statistics](std::int64_t i) { return statistics[i].item<double>(); };
    ranges.emplace_back(number(0), number(1));
    ranges.emplace_back(number(2) - 2.0 * number(3), number(2) + 2.0 * number(3));
  }
  std::vector<at::Tensor> result;
  for (const auto & [low, high] : ranges)
  {
    // A wave whose period fits no grid, another part of it for each range.
    constexpr std::int64_t count = 2;
    const std::int64_t     numbers = count * size[0] * size[1] * size[2];
    at::Tensor values = at::arange(numbers, at::dtype(at::kDouble)) + 1.37 * static_cast<double>(result.size());
    values = (values * 12.9898).sin().mul(43758.5453).frac().abs();
    result.push_back((low + (high - low) * values)
                       .to(at::kFloat)
                       .view({ count, size[2], size[1], size[0] })
                       .to(context.statistics.device()));
  }
  return result;
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
