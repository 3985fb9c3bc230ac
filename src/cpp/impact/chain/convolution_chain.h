#pragma once

#include "impact/api/layout.h"
#include "impact/chain/chain_unit.h"

namespace impact
{

/** Whether networks are run by our own kernels where they can be: whoever doubts a result, or measures, may have torch
 * run them all. \throws Error for a value of IMPACT_CHAINS that is unknown */
bool chainsAreWanted();

/** Runs a chain of convolutions on the CPU, many times faster than layer by layer.
 *
 * Convolutions with kernels of 3 voxels go through the Fourier transform in small tiles (kernels/spectral_kernels.h),
 * what follows a convolution is done where the next one reads it, and patches pass through the whole chain a few at a
 * time, so that they stay in the cache. Results do not depend on the number of threads. */
class ConvolutionChain
{
public:
  using Size = ConvolutionUnit::Size; // along x, y, z

  /** \return null where the description does not begin with a grey image, repeated in the number of channels */
  static std::shared_ptr<const ConvolutionChain>
  make(const ChainDescription & description, int dimension, int numberOfChannels);

  /** A chain of images with all the channels that the description speaks of: for last().
   *
   * \param memory of those at work: of several chains, of which one runs at a time */
  static std::shared_ptr<const ConvolutionChain> ofChannels(const ChainDescription &                      description,
                                                            const std::shared_ptr<Pool<ChainWorkspace>> & memory);
  ~ConvolutionChain();

  /** The sizes of the selected layers. */
  std::vector<Size> layerSizes(const Size & input) const;

  /** A selected layer, whatever the size of the image. */
  struct Layer
  {
    std::int64_t channels;
    LayerLayout  layout; // with the reach of the kernels
  };
  std::vector<Layer> description() const;

  /** A part of a layer: its first voxel and its size. */
  struct Part
  {
    Size begin{};
    Size size{};
  };

  /** The layers of a whole image. Made slice by slice; of the layers between, no more than two are in
   * memory, and the first one is made again instead.
   *
   * \param image (z) x y x x, float
   * \param parts what is wanted of each selected layer
   * \return for each selected layer 1 x C x (z) x y x x, the channels of a voxel side by side in memory */
  std::vector<at::Tensor> layers(const at::Tensor & image, const std::vector<Part> & parts) const;

  /** The last layer of images N x C x (z) x y x x, as torch's operators would give it.
   *
   * \param parts images whose channels lie one after the other; let go of as soon as may be */
  at::Tensor last(std::vector<at::Tensor> parts) const;

  /** Bytes that layers() holds at its peak for an image of that size, its result included. */
  std::int64_t bytesOfImage(const Size & size) const;

  /** Where a feature is read: voxels of a layer and what each counts. */
  using Place = std::vector<std::pair<std::int64_t, float>>;

  /** What patches were on their way through the chain, for the way back. Memory that is used again. */
  class Tape;

  /** Voxels of the smallest layer that any unit makes of inputs of this size. */
  std::int64_t leastVoxels(const Size & size) const;

  /** Whether the chain makes anything of inputs of this size. */
  bool
  accepts(const Size & size) const
  {
    return leastVoxels(size) > 1; // a mean over a single voxel is refused by torch, too
  }

  /** The same of patches, which must not take too much memory on their way. */
  bool acceptsPatches(const Size & size) const;

  /** The features of patches.
   *
   * \param patches N x voxels, float, contiguous
   * \param size of a patch
   * \param places one per selected layer
   * \param tape null, or receives what pullBackToIntensities() wants, as far as it fits into a gigabyte
   * \return for each selected layer N x C */
  std::vector<at::Tensor>
  patchFeatures(const at::Tensor & patches, const Size & size, const std::vector<Place> & places, Tape * tape) const;

  /** The gradient with respect to the patches of what has these gradients with respect to their features.
   *
   * \return N x voxels */
  at::Tensor pullBackToIntensities(const at::Tensor &              patches,
                                   const Size &                    size,
                                   const std::vector<Place> &      places,
                                   Tape &                          tape,
                                   const std::vector<at::Tensor> & featureGradients) const;

private:
  struct AtUnit;
  struct Block;
  struct Workspace;
  struct Given;

  ConvolutionChain(const ChainDescription &              description,
                   int                                   dimension,
                   bool                                  ofGrey,
                   std::shared_ptr<Pool<ChainWorkspace>> memory);

  std::vector<Size> sizes(const Size & input) const;

  std::vector<at::Tensor> layers(Given given, const std::vector<Part> & parts) const;

  void pullBackLast(const AtUnit &                     at,
                    std::int64_t                       first,
                    std::int64_t                       count,
                    std::int64_t                       voxels,
                    const std::vector<Place> &         places,
                    const std::vector<const float *> & from,
                    float *                            gradient) const;

  void copyPart(const float * slices,
                const Size &  size,
                std::int64_t  firstSlice,
                const Part &  part,
                std::int64_t  padded,
                at::Tensor &  to) const;

  /** Runs one unit on a few patches, after those before it.
   *
   * \param again only its output is to be made, what becomes of it is known */
  void passUnit(std::size_t               u,
                const float *             patches,
                std::int64_t              count,
                const std::vector<Size> & sizes,
                bool                      again,
                Block &                   block,
                Workspace &               workspace) const;

  int                                           m_Dimension;
  std::vector<std::size_t>                      m_Outputs; // the unit that ends with each layer
  std::vector<std::unique_ptr<ConvolutionUnit>> m_Units;

  // Memory for who is at work, whichever image or patch it is.
  std::shared_ptr<Pool<ChainWorkspace>> m_OfTasks;
  std::unique_ptr<Pool<Workspace>>      m_OfBlocks;
};

/** See ConvolutionChain. */
class ConvolutionChain::Tape
{
public:
  Tape();
  ~Tape();

private:
  friend class ConvolutionChain;

  std::vector<std::unique_ptr<Block>> m_Blocks;
  std::size_t                         m_Kept{ 0 }; // so many of them, from the first, hold what the way back needs
};

} // namespace impact
