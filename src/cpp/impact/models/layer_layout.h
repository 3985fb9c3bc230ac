#pragma once

#include "impact/models/model.h"

#include <optional>

namespace impact
{

/** The layout of a layer, and whether it was measured and holds for an input of this size. */
struct KnownLayout
{
  LayerLayout layout;
  bool        measured{ true };
};

/** Layouts of the selected layers of a model for an input of `inputSize` (x, y, z), given the sizes of the layers it
 * made of it.
 *
 * A layer as large as its input has the input's voxels. For others (strides, missing padding) the centre of a layer
 * voxel is measured: it is the centre of the input region whose change changes the voxel, found by autograd on an
 * irregular input. Where that cannot be told, or does not fit the layer's size, as in networks that resize their input,
 * the layer is taken to lie symmetrically in its input. */
std::vector<KnownLayout> layoutsOf(const Model &                                    model,
                                   const std::vector<std::array<std::int64_t, 3>> & layers,
                                   const std::array<std::int64_t, 3> &              inputSize,
                                   int                                              dimension,
                                   int                                              numberOfChannels,
                                   const std::vector<bool> &                        mask,
                                   const ImageContext &                             context,
                                   at::Device                                       device);

/** Whether a layout leaves about as much of the input after a layer's last voxel as before its first. Sizes x, y, z. */
bool
fits(const LayerLayout & layout, const std::array<std::int64_t, 3> & input, const std::array<std::int64_t, 3> & layer);

/** Runs and differentiates a model on irregular inputs within the range of intensities of `context`.
 *
 * \param inputSize of an input, x, y, z
 * \param numberOfInputs at least how many; more, where the strides are not such as the sizes of the layers suggest:
 * clamped intensities, rectifiers and pooling by maxima let only some of the voxels show in each
 * \return the selected layers. \throws Error when model, mask and input do not fit */
std::vector<MeasuredLayer> measureLayers(const Model &                       model,
                                         int                                 dimension,
                                         int                                 numberOfChannels,
                                         const std::vector<bool> &           mask,
                                         const ImageContext &                context,
                                         at::Device                          device,
                                         const std::array<std::int64_t, 3> & inputSize,
                                         int                                 numberOfInputs);

/** Layouts of the selected layers with their reach: from the kernels of a chain or of a plain graph, for inputs of
 * `inputSize` (x, y, z), else measured within the range of intensities of `context`; none for a layer that cannot be
 * measured. The model keeps what was measured. */
std::vector<std::optional<LayerLayout>> measureLayouts(const Model &                       model,
                                                       int                                 dimension,
                                                       int                                 numberOfChannels,
                                                       const std::vector<bool> &           mask,
                                                       const ImageContext &                context,
                                                       at::Device                          device,
                                                       const std::array<std::int64_t, 3> & inputSize);

/** Shape batch x channels x (z) x y x x for an input of size x, y (, z). */
std::vector<std::int64_t>
inputShape(std::int64_t batch, int numberOfChannels, int dimension, const std::array<std::int64_t, 3> & size);

/** An image that is irregular but always the same, float32, with values between `low` and `high`. */
at::Tensor irregularImage(const std::vector<std::int64_t> & shape, double low, double high);

/** Sizes x, y, z of a batch x channels x (z) x y x x tensor; 1 where there is no third axis. */
std::array<std::int64_t, 3> spatialSize(const at::Tensor & tensor);

} // namespace impact
