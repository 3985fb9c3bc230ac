#pragma once

#include "impact/runtime/torch_headers.h"

#include <cstdint>
#include <functional>

namespace impact
{

/** The most bytes of tensors that `work` holds at a time on a device, beyond what there was before. Tensors made by
 * this thread count, which are all but scratch space inside torch's operators. */
std::int64_t allocationPeak(at::Device device, const std::function<void()> & work);

} // namespace impact
