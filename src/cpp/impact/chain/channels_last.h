#pragma once

#include "impact/runtime/torch_headers.h"

#include <cstdint>
#include <vector>

namespace impact
{

/** Images whose channels lie one after the other as one whose channels lie side by side in memory, as our kernels want
 * them: (z) x y x x x channels.
 *
 * \param parts 1 x C x (z) x y x x, float, of one size
 * \param channels of the result, zero where the parts have fewer */
at::Tensor channelsLast(const std::vector<at::Tensor> & parts, std::int64_t channels);

} // namespace impact
