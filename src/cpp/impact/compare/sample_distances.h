#pragma once

#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

namespace impact
{

/** Whether a distance is a mean over samples that know nothing of each other. */
bool isBySample(Distance kind);

/** The mean of such a distance, sample by sample in one pass: what distance() does on the CPU, where torch would make a
 * tensor for each step.
 *
 * \param fixed, moving N x C with N > 0, both float or both double, on the CPU
 * \param gradient null, or receives d(mean)/d(moving), like `moving` */
double sampleDistances(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, at::Tensor * gradient);

} // namespace impact
