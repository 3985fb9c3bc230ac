#pragma once

#include "impact/models/layer_layout.h"
#include "impact/models/network_chain.h"
#include "impact/runtime/batches.h"
#include "impact/settings/settings.h"

namespace impact
{

/** A model that sees patches: runs batches of them and picks the features at the patch centres.
 *
 * Where these are seen to depend on no more than the middle of a patch, the patches are made as small as that. */
class PatchModel
{
public:
  /** \param axes direction cosines of the axes along which the patches run
   * \param log  told of a shortage of memory; may be empty */
  PatchModel(ModelPointer                             model,
             const ModelSettings &                    settings,
             const ImageView &                        image,
             const Matrix &                           axes,
             at::Device                               device,
             std::function<void(const std::string &)> log);

  std::int64_t
  voxelsPerPatch() const
  {
    return m_Size[0] * m_Size[1] * m_Size[2];
  }

  /** Voxels of the patches along x, y (, z): as the settings have them, or fewer. */
  const std::array<std::int64_t, 3> &
  size() const
  {
    return m_Size;
  }

  /** One line on patches that are smaller than the settings say, for the log; empty for others. */
  std::string describe() const;

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

  /** What patches were on their way through the network, for the way back. Memory that is used again. */
  struct Tape
  {
    struct Batch
    {
      at::Tensor              input;
      std::vector<at::Tensor> features;
    };
    std::map<std::int64_t, Batch> batches; // by their first patch
    NetworkChain::Tape            ofChain;
  };

  /** The features at the centre of each patch, linearly interpolated where the centre falls between voxels of the
   * layer.
   *
   * \param patches N x voxels, float, on the model's device
   * \param tape null, or receives what pullBackToIntensities() wants, as far as it fits into memory
   * \return for each selected layer N x channels, without a graph */
  std::vector<at::Tensor> features(const at::Tensor & patches, Tape * tape) const;

  /** The way back: what gradients with respect to those features are with respect to the patches, N x voxels. */
  at::Tensor pullBackToIntensities(const at::Tensor &              patches,
                                   Tape &                          tape,
                                   const std::vector<at::Tensor> & featureGradients) const;

  /** Where the voxels of a patch lie around its centre, mm, physical.
   *
   * \param direction direction cosines of the axes along which patches run
   * \param axes which of these the patch spans */
  std::vector<Vector> offsets(const Matrix & direction, const std::vector<int> & axes) const;

  /** Bytes that the graphs of so many patches of so many voxels take at a time, for the way back (an estimate): those
   * of all patches, or of one batch where all would be too many. \param channels of the selected layers */
  static std::int64_t bytesOfGraphs(std::int64_t patches, std::int64_t voxels, std::int64_t channels);

private:
  /** Readies it for patches of a size. \throws Error for what the model refuses */
  void arrange(const std::array<std::int64_t, 3> & size);

  /** Makes the patches as small as they can be without another result. */
  void shrink();

  double voxelSizeAlong(int imageAxis, std::size_t patchAxis) const;

  std::vector<at::Tensor> run(const at::Tensor & patches) const;

  /** The gradient of a batch's intensities. \throws Error naming the model where it has none */
  at::Tensor derivative(const Tape::Batch & batch, const std::vector<at::Tensor> & featureGradients) const;

  Tape::Batch forward(const at::Tensor & patches, bool withGradient) const;

  /** How many patches go through the network at once, at first. */
  std::int64_t batchSize() const;

  bool graphsFit(std::int64_t numberOfPatches) const;

  /** What a patch takes of the device's memory on its way there and back, measured with a few. */
  double bytesPerPatch() const;

  ModelPointer                m_Model;
  ModelSettings               m_Settings;
  ImageContext                m_Context;
  at::Device                  m_Device;
  std::array<std::int64_t, 3> m_Size{ 1, 1, 1 };
  std::vector<KnownLayout>    m_Layouts;
  std::vector<std::int64_t>   m_NumbersOfChannels;
  std::vector<std::int64_t>   m_NumbersOfVoxels; // of each layer

  const NetworkChain *             m_Chain{ nullptr }; // m_Model's; null: the model runs itself
  std::vector<NetworkChain::Place> m_Places;           // of the patch centres in the layers

  std::function<void(const std::string &)> m_Log;
  mutable std::optional<Batches>           m_Batches; // from the first patches on
};

} // namespace impact
