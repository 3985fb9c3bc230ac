#pragma once

#include "settings.h"
#include "torch_headers.h"

namespace impact
{

/** How far two sets of features are apart: a scalar in double precision, differentiable in `moving`.
 *
 * \param fixed, moving N x C, float or double. The mean over the N samples; 0 for no samples. */
at::Tensor distance(Distance kind, const at::Tensor & fixed, const at::Tensor & moving);

} // namespace impact
