#pragma once

#include "impact/models/model.h"

/** What a model's features at the centre of a patch depend on. Patches are N x z x y x x tensors here. */
namespace impact
{

/** Irregular patches, always the same, two for each of several ranges of intensities, that of an image among them: a
 * network that clamps intensities to a window shows nothing of what lies beyond it. */
std::vector<at::Tensor> probingPatches(const std::array<std::int64_t, 3> & size, const ImageContext & context);

/** The smallest size, with the same centre as the patches, that holds all voxels which the features change with.
 *
 * \param input N x voxels, with a graph
 * \param features at the centres, made from it
 * \throws Error where they do not depend on the input in a way that can be differentiated */
std::array<std::int64_t, 3>
sizeSeen(const at::Tensor & input, const std::vector<at::Tensor> & features, const std::array<std::int64_t, 3> & size);

/** The middle of patches. The difference of the sizes must be even along each axis. */
at::Tensor middleOf(const at::Tensor & patches, const std::array<std::int64_t, 3> & size);

/** The same patches with something else around their middle. */
at::Tensor withOtherEdges(const at::Tensor & patches, const std::array<std::int64_t, 3> & middle);

/** Whether features are the same but for rounding. */
bool alike(const std::vector<at::Tensor> & features, const std::vector<at::Tensor> & expected);

} // namespace impact
