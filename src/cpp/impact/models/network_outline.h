#pragma once

#include "impact/models/model.h"

namespace impact
{

/** Follows a plain graph (plain_graph.h) with the sizes of its tensors alone, which takes milliseconds for any image.
 *
 * Where the voxels of a layer lie and what they see follows from the kernels, strides and paddings on the way, exactly:
 * "A guide to convolution arithmetic for deep learning", V. Dumoulin, F. Visin, 2016. What a voxel depends on by way of
 * a mean of the whole image, as normalisation takes it, does not count.
 *
 * \param inputShape batch x channels x (z) x y x x
 * \return nothing where what the network does depends on more than sizes, or an operator is not known */
std::optional<NetworkOutline> outlineOf(const torch::jit::Graph & plain, const std::vector<std::int64_t> & inputShape);

} // namespace impact
