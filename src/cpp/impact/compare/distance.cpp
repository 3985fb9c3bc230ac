#include "impact/compare/distance.h"

#include "impact/compare/sample_distances.h"

namespace impact
{
namespace
{

/** Sums over the samples, in the same order whatever the number of threads: torch splits one long sum over them. */
at::Tensor
orderedSum(const at::Tensor & values)
{
  constexpr std::int64_t    block = 4096;
  const std::int64_t        padding = (block - values.size(0) % block) % block;
  std::vector<std::int64_t> pad(static_cast<std::size_t>(2 * values.dim()), 0);
  pad.back() = padding;
  std::vector<std::int64_t> shape{ -1, block };
  for (std::int64_t dim = 1; dim < values.dim(); ++dim)
  {
    shape.push_back(values.size(dim));
  }
  return at::constant_pad_nd(values, pad).view(shape).sum(1).sum(0);
}

/** The cosine of the angle between the rows. Rows of length zero have none: 1 for two such, 0 for one. */
at::Tensor
cosine(const at::Tensor & fixed, const at::Tensor & moving)
{
  const at::Tensor product = (fixed.square().sum(1) * moving.square().sum(1));
  const at::Tensor regular = product > 0.0;
  // The square root of the safe product: where() alone would still send NaN back through the other branch.
  const at::Tensor norms = at::where(regular, product, at::ones_like(product)).sqrt();
  const at::Tensor bothZero = at::logical_and(fixed.abs().amax(1) == 0.0, moving.abs().amax(1) == 0.0);
  return at::where(regular, (fixed * moving).sum(1) / norms, bothZero.to(product.dtype()));
}

/** The overlap of two feature vectors; two empty ones agree. */
at::Tensor
dice(const at::Tensor & fixed, const at::Tensor & moving)
{
  const at::Tensor sum = (fixed + moving).sum(1);
  const at::Tensor regular = sum != 0.0;
  const at::Tensor divisor = at::where(regular, sum, at::ones_like(sum));
  return at::where(regular, 2.0 * (fixed * moving).sum(1) / divisor, at::ones_like(sum));
}

at::Tensor
perSample(Distance kind, const at::Tensor & fixed, const at::Tensor & moving)
{
  switch (kind)
  {
    case Distance::L1:
      return (fixed - moving).abs().mean(1);
    case Distance::L2:
      return (fixed - moving).square().mean(1);
    case Distance::Cosine:
      return 1.0 - cosine(fixed, moving);
    case Distance::L1Cosine:
      return 1.0 - cosine(fixed, moving) * (-0.1 * (fixed - moving).abs()).exp().mean(1);
    case Distance::Dice:
      return 1.0 - dice(fixed, moving);
    case Distance::DotProduct:
      return -(fixed * moving).sum(1);
    case Distance::NCC:
      break; // over all samples together: see below
  }
  TORCH_CHECK(false, "unknown distance");
}

/** 1 - the correlation over all samples, averaged over the channels. A channel that is constant in both images agrees,
 * one that is constant in one of them does not. */
at::Tensor
normalizedCrossCorrelation(const at::Tensor & fixed, const at::Tensor & moving)
{
  const auto       count = static_cast<double>(fixed.size(0));
  const at::Tensor f = fixed - orderedSum(fixed) / count;
  const at::Tensor m = moving - orderedSum(moving) / count;
  const at::Tensor fixedVariance = orderedSum(f.square()) / count;
  const at::Tensor movingVariance = orderedSum(m.square()) / count;
  // What rounding leaves of a constant channel is no variance.
  const auto isConstant = [](const at::Tensor & variance, const at::Tensor & values) {
    return variance <= 1e-24 * values.detach().square().amax(0);
  };
  const at::Tensor fixedConstant = isConstant(fixedVariance, fixed);
  const at::Tensor movingConstant = isConstant(movingVariance, moving);
  const at::Tensor regular = at::logical_not(at::logical_or(fixedConstant, movingConstant));
  const at::Tensor product = fixedVariance * movingVariance;
  const at::Tensor norms = at::where(regular, product, at::ones_like(product)).sqrt();
  const at::Tensor bothConstant = at::logical_and(fixedConstant, movingConstant);
  const at::Tensor correlation =
    at::where(regular, orderedSum(f * m) / count / norms, bothConstant.to(product.dtype()));
  return 1.0 - correlation.mean();
}

/** sampleDistances() for torch to differentiate. */
class BySample : public torch::autograd::Function<BySample>
{
public:
  static at::Tensor
  forward(torch::autograd::AutogradContext * context,
          const at::Tensor &                 fixed,
          const at::Tensor &                 moving,
          std::int64_t                       kind)
  {
    at::Tensor   gradient;
    const double value =
      sampleDistances(static_cast<Distance>(kind), fixed, moving, moving.requires_grad() ? &gradient : nullptr);
    context->save_for_backward({ gradient });
    return at::scalar_tensor(value, at::kDouble);
  }

  static torch::autograd::tensor_list
  backward(torch::autograd::AutogradContext * context, torch::autograd::tensor_list given)
  {
    const at::Tensor gradient = context->get_saved_variables()[0];
    return { at::Tensor(), gradient * given[0].to(gradient.scalar_type()), at::Tensor() };
  }
};

} // namespace

at::Tensor
distance(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, Engine engine)
{
  if (fixed.size(0) == 0)
  {
    return moving.to(at::kDouble).sum();
  }
  if (isBySample(kind) && engine == Engine::Kernels)
  {
    return BySample::apply(fixed, moving, static_cast<std::int64_t>(kind));
  }
  const at::Tensor f = fixed.to(at::kDouble);
  const at::Tensor m = moving.to(at::kDouble);
  if (kind == Distance::NCC)
  {
    return normalizedCrossCorrelation(f, m);
  }
  return orderedSum(perSample(kind, f, m)) / static_cast<double>(fixed.size(0));
}

} // namespace impact
