#pragma once

#include "impact/chain/convolution_chain.h"
#include "impact/models/model.h"
#include "impact/models/plain_network.h"

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace impact
{

/** The layers of a network that are made by one chain of convolutions, run by our own kernels.
 *
 * What the network does with the image before, torch does: normalising intensities, turning axes towards the patient's.
 * Axes of the layers are turned back as they were. Sizes, parts and places are those of the image and of its layers. */
class NetworkChain
{
public:
  using Size = ConvolutionChain::Size;
  using Part = ConvolutionChain::Part;
  using Place = ConvolutionChain::Place;
  using Layer = ConvolutionChain::Layer;

  /** \return null where the layers are made in another way. What it gives is to be compared with the network. */
  static std::shared_ptr<const NetworkChain> make(const torch::jit::Graph & plain, int dimension, int numberOfChannels);

  bool
  accepts(const Size & size) const
  {
    return m_Chain->accepts(turned(size));
  }

  bool
  acceptsPatches(const Size & size) const
  {
    return m_Chain->acceptsPatches(turned(size));
  }

  /** Voxels of the smallest layer on the way. */
  std::int64_t
  leastVoxels(const Size & size) const
  {
    return m_Chain->leastVoxels(turned(size));
  }

  std::int64_t
  bytesOfImage(const Size & size) const
  {
    return m_Chain->bytesOfImage(turned(size));
  }

  std::vector<Size> layerSizes(const Size & input) const;

  /** The layers of an image of that size: with strides and turned axes, where their voxels lie depends on it. */
  std::vector<Layer> description(const Size & input) const;

  /** See ConvolutionChain::layers(). */
  std::vector<at::Tensor>
  layers(const at::Tensor & image, const std::vector<Part> & parts, const ImageContext & context) const;
  std::vector<at::Tensor> layers(const at::Tensor & image, const ImageContext & context) const;

  /** What patches were on their way, for the way back. */
  struct Tape
  {
    ConvolutionChain::Tape ofChain;
    at::Tensor             patches; // as they came, where something is done before the chain
    at::Tensor             prepared;
  };

  /** See ConvolutionChain::patchFeatures(). */
  std::vector<at::Tensor> patchFeatures(const at::Tensor &         patches,
                                        const Size &               size,
                                        const std::vector<Place> & places,
                                        const ImageContext &       context,
                                        Tape *                     tape) const;

  /** See ConvolutionChain::pullBackToIntensities(). */
  at::Tensor pullBackToIntensities(const at::Tensor &              patches,
                                   const Size &                    size,
                                   const std::vector<Place> &      places,
                                   Tape &                          tape,
                                   const std::vector<at::Tensor> & featureGradients) const;

private:
  NetworkChain() = default;

  /** Finds out which axes the chain sees. \return false where each of its voxels is not one of the image */
  bool findTurn();

  Size turned(const Size & ofImage) const;
  Size turnedBack(const Size & ofChain) const;

  std::vector<Place> turned(const std::vector<Place> & places, const std::vector<Size> & layerSizes) const;

  /** What the chain sees of images, N x voxels. */
  at::Tensor prepared(const at::Tensor & images, const Size & size, const ImageContext & context) const;

  std::shared_ptr<const ConvolutionChain> m_Chain;
  std::shared_ptr<const PlainNetwork>     m_Before; // null: the chain sees the image
  int                                     m_Dimension{ 3 };
  int                                     m_NumberOfChannels{ 1 };
  std::array<std::size_t, 3>              m_Axes{ 0, 1, 2 }; // of the image, for each axis of the chain
  std::array<bool, 3>                     m_Flipped{};       // of the chain's axes
};

} // namespace impact
