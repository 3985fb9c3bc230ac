#pragma once

#include "impact/runtime/batches.h"
#include "impact/tensors/torch_samples.h"

namespace impact
{

/** Patches around samples, cut out of the images on a device. */
class TorchPatches
{
public:
  TorchPatches(const ImageView &                        fixed,
               const ImageView &                        moving,
               at::Device                               device,
               std::function<void(const std::string &)> log);

  /** Where the voxels of patches lie around their samples. */
  struct Offsets
  {
    at::Tensor ofPlanes; // planes x voxels x 3, mm, double
    at::Tensor planes{}; // of each sample, long; undefined where there is one plane

    /** The places of the voxels of some samples' patches, (samples x voxels) x 3. \param samples N x 3 */
    at::Tensor around(const at::Tensor & samples, std::int64_t first) const;
  };

  /** \param offsets of each plane, mm */
  Offsets upload(const std::vector<std::vector<Vector>> & offsets) const;

  /** The number of each sample's plane. */
  at::Tensor uploadPlanes(const std::vector<std::size_t> & planeOfSample) const;

  /** The fixed image: samples x voxels. */
  at::Tensor fixed(const TorchSamples & samples, const Offsets & offsets);

  struct Moving
  {
    at::Tensor intensities; // samples x voxels
    at::Tensor partials;    // (samples x voxels) x 3, along the axes of the image; undefined where not asked for
  };

  /** The moving image where the transform takes the voxels. */
  Moving moving(const TorchSamples & samples, const Offsets & offsets, bool withGradient);

  /** Adds to the samples' sums what gradients with respect to those intensities, samples x voxels, amount to. */
  void addGradients(const TorchSamples & samples,
                    const Offsets &      offsets,
                    const Moving &       moving,
                    const at::Tensor &   gradients,
                    at::Tensor &         sums);

private:
  /** Calls the action with the first of some samples and the places of the voxels of their patches. */
  void forParts(const TorchSamples &                                                       samples,
                const Offsets &                                                            offsets,
                const std::function<void(std::int64_t first, const at::Tensor & places)> & action);

  struct Image
  {
    at::Tensor voxels; // N x 1
    TorchGrid  grid;
  };

  static Image uploaded(const ImageView & image, at::Device device);

  at::Device                               m_Device;
  Image                                    m_Fixed;
  Image                                    m_Moving;
  std::int64_t                             m_PointsAtOnce;
  std::function<void(const std::string &)> m_Log;
};

} // namespace impact
