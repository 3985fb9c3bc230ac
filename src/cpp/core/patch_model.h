#pragma once

#include "layer_layout.h"
#include "settings.h"

namespace impact
{

/** A model that sees patches: runs batches of them and picks the features at the patch centres. */
class PatchModel
{
public:
  /** \param axes direction cosines of the axes along which the patches run */
  PatchModel(ModelPointer          model,
             const ModelSettings & settings,
             const ImageView &     image,
             const Matrix &        axes,
             at::Device            device);

  std::int64_t
  voxelsPerPatch() const
  {
    return m_Size[0] * m_Size[1] * m_Size[2];
  }

  const std::string &
  path() const
  {
    return m_Settings.path;
  }

  const std::vector<std::int64_t> &
  numbersOfChannels() const
  {
    return m_NumbersOfChannels;
  }

  /** \param patches N x voxels, on the model's device; may require gradients
   * \return for each selected layer N x channels: the features at the centre of each patch, linearly interpolated where
   * the centre falls between voxels of the layer */
  std::vector<at::Tensor> centreFeatures(const at::Tensor & patches) const;

  /** Where the voxels of a patch lie around its centre, mm, physical.
   *
   * \param direction direction cosines of the axes along which patches run
   * \param axes which of these the patch spans */
  std::vector<Vector> offsets(const Matrix & direction, const std::vector<int> & axes) const;

private:
  double voxelSizeAlong(int imageAxis, std::size_t patchAxis) const;

  std::vector<at::Tensor> run(const at::Tensor & patches) const;

  ModelPointer                m_Model;
  ModelSettings               m_Settings;
  ImageContext                m_Context;
  std::array<std::int64_t, 3> m_Size{ 1, 1, 1 };
  std::vector<KnownLayout>    m_Layouts;
  std::vector<std::int64_t>   m_NumbersOfChannels;
};

} // namespace impact
