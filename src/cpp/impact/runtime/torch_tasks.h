#pragma once

#include "impact/base/workers.h"

#include <functional>

namespace impact
{

/** inParallel() for tasks that call torch: each with one thread of torch's and the calling thread's gradient mode. */
void torchInParallel(std::int64_t count, const Workers::Task & task);

/** Calls the function with the first of some items and their number, from the workers: pieces that do not depend on how
 * many workers there are, so that neither does what is computed of each. */
void torchInPieces(std::int64_t                                                         items,
                   std::int64_t                                                         perPiece,
                   const std::function<void(std::int64_t first, std::int64_t number)> & function);

} // namespace impact
