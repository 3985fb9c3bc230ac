#pragma once

#include "layer_layout.h"
#include "settings.h"

namespace impact
{

/** The features of a whole image: one row of channels per voxel, x fastest, and where the voxels are. */
struct FeatureMap
{
  at::Tensor rows; // voxels x channels, contiguous
  Grid       grid;
};

/** Runs a model over a whole image resampled to the model's voxel size.
 *
 * \param axes direction cosines of the axes along which the model sees the image: the fixed image's for both images,
 * since few networks give the same features for an image and its mirror image. \throws Error when the model or the
 * voxel size does not fit.
 *
 * A 2D model on a 3D image sees it slice by slice along the third axis. */
std::vector<FeatureMap> makeFeatureMaps(const Model &         model,
                                        const ModelSettings & settings,
                                        const ImageView &     image,
                                        const Matrix &        axes,
                                        at::Device            device);

/** Features at points by linear interpolation; beyond the outermost voxel centres the nearest value holds.
 *
 * \param points N x 3, physical, mm, double; may require gradients
 * \param channels the columns wanted; undefined: all
 * \return N x channels, float */
at::Tensor sampleFeatures(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels);

/** An image at another grid, by linear interpolation; beyond its edges the edge's value. z x y x x. */
at::Tensor resampleImage(const at::Tensor & image, const Grid & from, const Grid & to);

} // namespace impact
