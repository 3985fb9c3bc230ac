#include "distance.h"

namespace impact
{
namespace
{

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
  }
  TORCH_CHECK(false, "unknown distance");
}

/** The mean, summed in the same order whatever the number of threads: torch splits one long sum over them. */
at::Tensor
orderedMean(const at::Tensor & values)
{
  constexpr std::int64_t block = 4096;
  const std::int64_t     count = values.size(0);
  const std::int64_t     padding = (block - count % block) % block;
  return at::constant_pad_nd(values, { 0, padding }).view({ -1, block }).sum(1).sum() / static_cast<double>(count);
}

} // namespace

at::Tensor
distance(Distance kind, const at::Tensor & fixed, const at::Tensor & moving)
{
  if (fixed.size(0) == 0)
  {
    return moving.to(at::kDouble).sum();
  }
  return orderedMean(perSample(kind, fixed.to(at::kDouble), moving.to(at::kDouble)));
}

} // namespace impact
