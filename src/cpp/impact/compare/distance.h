#pragma once

#include "impact/api/engine.h"
#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

namespace impact
{

/** How far two sets of features are apart: a scalar in double precision, differentiable in `moving`.
 *
 * \param fixed, moving N x C, both float or both double. The mean over the N samples; 0 for no samples.
 * \param engine kernels only for features on the CPU; some distances are torch's anyway */
at::Tensor distance(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, Engine engine);

} // namespace impact
