#pragma once

#include "impact/models/model.h"
#include "impact/settings/settings.h"

#include <array>

namespace impact
{

/** Refuses a model that gives something else for the same input when it is asked again, as one does that was saved with
 * dropout or noise in it, or that changes its own weights: a metric of it has no value, and no derivative. Each model
 * is asked once, on a small input, or on `size` where it refuses that.
 *
 * \throws Error naming the file and what to do */
void checkRepeats(const ModelSettings &               settings,
                  const std::array<std::int64_t, 3> & size,
                  const Model &                       model,
                  const ImageContext &                context);

} // namespace impact
