#pragma once

#include "impact/models/layer_layout.h"
#include "impact/settings/settings.h"
#include "impact/tensors/torch_grid.h"

namespace impact
{

/** The features of a whole image: one row of channels per voxel, x fastest, and where the voxels are. */
struct FeatureMap
{
  at::Tensor rows; // voxels x channels, contiguous; float, or half
  Grid       grid;

  /** The grid on the device of the rows; made where it is first wanted. */
  mutable std::shared_ptr<const TorchGrid> torchGrid{};
};

/** Keeps a map in half precision: half the memory, at a relative error of at most 2^-11; on the CPU in place. \return
 * false where it has numbers beyond that range: it stays as it is */
bool makeHalf(FeatureMap & map);

/** What a model sees of a whole image. */
struct ModelInput
{
  at::Tensor   voxels; // z x y x x, float
  Grid         grid;
  ImageContext context; // of the image in its own voxels
};

/** The grid on which a model sees an image: along the given axes, in the model's voxel size. \throws ParameterError */
Grid inputGrid(const ModelSettings & settings, const Grid & image, const Matrix & axes);

/** The image resampled to that grid.
 *
 * \param axes direction cosines of the axes along which the model sees the image: the same for both images, since few
 * networks give the same features for an image and its mirror image */
ModelInput
makeModelInput(const ModelSettings & settings, const ImageView & image, const Matrix & axes, at::Device device);

/** Runs a model over a whole image; one map for each selected layer, normalised as the settings say. \throws Error when
 * the model does not fit.
 *
 * A 2D model on a 3D image sees it slice by slice along the third axis. */
std::vector<FeatureMap> makeFeatureMaps(const Model & model, const ModelSettings & settings, const ModelInput & input);

/** An image at another grid, by linear interpolation; beyond its edges the edge's value. z x y x x. */
at::Tensor resampleImage(const at::Tensor & original, const Grid & originalGrid, const Grid & to);

} // namespace impact
