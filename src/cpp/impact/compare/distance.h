#pragma once

#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

namespace impact
{

/** How far two sets of features are apart: a scalar in double precision, differentiable in `moving`.
 *
 * \param fixed, moving N x C, both float or both double. The mean over the N samples; 0 for no samples.
 * \param byTorch by torch's operations also where there is a quicker way; for tests */
at::Tensor distance(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, bool byTorch = false);

} // namespace impact
