#pragma once

#include "impact/api/engine.h"
#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

namespace impact
{

/** Feature vectors scaled over their channels: to unit length (L2); to zero mean and unit (unbiased) deviation
 * (Standardized), as KonfAI's and itk-impact's are.
 *
 * A vector that is shorter than 1e-12, as of torch's normalize(), or whose deviation is below 1e-12 of its mean (of 1,
 * where that is more), becomes zeros and passes no derivative back.
 *
 * \param rows N x channels, float
 * \param engine kernels only for rows on the CPU
 * \return like rows, differentiable; for None the rows themselves */
at::Tensor normalized(FeatureNormalization kind, const at::Tensor & rows, Engine engine);

/** The same in place: by the kernels on the CPU, where the rows must be contiguous. */
void normalizeInPlace(FeatureNormalization kind, const at::Tensor & rows);

/** \throws ParameterError naming the layer where a model's selected layers have too few channels to be normalised */
void checkNormalization(const ModelSettings & model, const std::vector<std::int64_t> & channelsOfLayers);

} // namespace impact
