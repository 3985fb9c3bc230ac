#pragma once

#include "impact/models/layer_layout.h"
#include "impact/models/network_chain.h"
#include "impact/settings/settings.h"

namespace impact
{

/** Runs a model over images (or slices) of one size, as a whole or in tiles.
 *
 * Most networks pad with zeros, which marks the edges of an image: features there hold a moving image in place however
 * well its anatomy fits. So the image is carried on beyond its edges by its outermost values, as far as the model is
 * measured to see, and what lies outside is cut off the layers again. */
class FeatureExtractor
{
public:
  /** \param size x, y (, z) of the images to come
   * \throws ParameterError for tiles that are too small for what the model sees */
  FeatureExtractor(const Model &                       model,
                   const ModelSettings &               settings,
                   const ImageContext &                context,
                   at::Device                          device,
                   const std::array<std::int64_t, 3> & size);

  /** \param image (z) x y x x
   * \return the selected layers, 1 x channels x (z) x y x x, each with the voxels whose centres lie in the image.
   * \throws Error when the model does not fit */
  std::vector<at::Tensor> extract(const at::Tensor & image);

  /** Where the voxels of those layers lie; known after the first image. */
  const std::vector<LayerLayout> &
  layouts() const
  {
    return m_Layouts;
  }

  /** The image with what it is carried on by. */
  std::array<std::int64_t, 3>
  paddedSize() const
  {
    std::array<std::int64_t, 3> size = m_Size;
    for (std::size_t axis = 0; axis < size.size(); ++axis)
    {
      size[axis] += 2 * m_Margin[axis];
    }
    return size;
  }

  bool
  isTiled() const
  {
    return m_Tiled;
  }

private:
  void                    decideMargin();
  void                    decideTiles(const at::Tensor & padded);
  std::vector<at::Tensor> run(const at::Tensor & part) const;
  std::vector<at::Tensor> runWithMargin(const at::Tensor & image);

  /** Decides, from the sizes of the layers of the image with its margin, where their voxels lie.
   *
   * \return false where that is not known: a network that resizes its input must not be given a margin */
  bool decideLayouts(const std::array<std::int64_t, 3> & size, const std::vector<std::array<std::int64_t, 3>> & layers);

  /** The part of a layer that lies in the image without its margin; its layout is changed to begin there. */
  NetworkChain::Part cut(std::size_t number, const std::array<std::int64_t, 3> & layer);

  /** The quicker way through the model, where there is one for inputs of that size; else null. */
  const NetworkChain * chainFor(const std::array<std::int64_t, 3> & size) const;

  const Model &                           m_Model;
  const ModelSettings &                   m_Settings;
  const ImageContext &                    m_Context;
  std::array<std::int64_t, 3>             m_Size;
  std::array<std::int64_t, 3>             m_Margin{ 0, 0, 0 }; // voxels added on each side
  bool                                    m_Tiled;             // false where the image fits into one tile
  at::Device                              m_Device;
  std::vector<std::optional<LayerLayout>> m_Measured;
  std::vector<LayerLayout>                m_TileLayouts; // in the image with its margin; only where there are tiles
  std::vector<LayerLayout>                m_Layouts;
};

} // namespace impact
