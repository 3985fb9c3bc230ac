#include "impact/api/network.h"
#include "impact/compare/distance.h"
#include "impact/runtime/torch_scope.h"

#include <algorithm>

namespace impact
{

double
distanceOf(Distance       kind,
           const double * fixed,
           const double * moving,
           std::int64_t   samples,
           std::int64_t   channels,
           double *       gradient,
           Engine         engine)
{
  const TorchScope scope(nullptr);
  at::AutoGradMode gradientsOn(true);
  const auto       tensorOf = [&](const double * numbers) {
    return at::from_blob(const_cast<double *>(numbers), { samples, channels }, at::kDouble);
  };
  at::Tensor m = tensorOf(moving);
  m.set_requires_grad(gradient != nullptr);
  const at::Tensor value = distance(kind, tensorOf(fixed), m, engine);
  if (gradient)
  {
    const at::Tensor back = torch::autograd::grad({ value }, { m })[0].contiguous();
    std::copy_n(back.data_ptr<double>(), back.numel(), gradient);
  }
  return value.item<double>();
}

} // namespace impact
