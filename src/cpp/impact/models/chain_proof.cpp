#include "impact/models/chain_proof.h"

#include "impact/chain/convolution_chain.h"
#include "impact/models/layer_layout.h"

namespace impact
{
namespace
{

// What would make a network depend on the rest of its arguments has no round numbers here.
ImageContext
unlikelyContext(int dimension)
{
  return { at::tensor({ -437.5F, 431.0F, 23.5F, 309.0F }), -at::eye(dimension, at::kFloat) };
}

/** A wave whose period fits no grid: irregular, always the same. */
at::Tensor
irregular(std::int64_t number, int dimension, const ConvolutionChain::Size & size)
{
  const auto shape = inputShape(number, 1, dimension, size);
  const auto count = c10::multiply_integers(shape);
  return (at::arange(count, at::dtype(at::kDouble)) * 12.9898).sin().mul(437.5).to(at::kFloat).view(shape);
}

at::Tensor
repeated(const at::Tensor & grey, int numberOfChannels)
{
  auto shape = grey.sizes().vec();
  shape[1] = numberOfChannels;
  return grey.expand(shape).contiguous();
}

bool
alike(const at::Tensor & found, const at::Tensor & expected, double tolerance)
{
  return found.sizes() == expected.sizes() &&
         (found - expected).abs().max().item<double>() <= tolerance * expected.abs().max().item<double>();
}

} // namespace

bool
givesTheSameLayers(const Model &             model,
                   const ConvolutionChain &  chain,
                   const std::vector<bool> & mask,
                   int                       dimension,
                   int                       numberOfChannels)
{
  try
  {
    int compared = 0;
    for (ConvolutionChain::Size size :
         { ConvolutionChain::Size{ 10, 11, 9 }, { 27, 20, 15 }, { 45, 40, 36 }, { 75, 70, 66 } })
    {
      size[2] = dimension == 2 ? 1 : size[2];
      if (compared == 2 || !chain.accepts(size))
      {
        continue;
      }
      const at::Tensor image = irregular(1, dimension, size);
      const auto       expected = model.selected(repeated(image, numberOfChannels), mask, unlikelyContext(dimension));
      const auto       found = chain.layers(image.select(0, 0).select(0, 0));
      for (std::size_t i = 0; i < expected.size(); ++i)
      {
        if (!alike(found[i], expected[i], 1e-4))
        {
          return false;
        }
      }
      ++compared;
    }
    return compared > 0;
  }
  catch (const std::exception &)
  {
    return false;
  }
}

bool
givesTheSamePatches(const Model &             model,
                    const ConvolutionChain &  chain,
                    const std::vector<bool> & mask,
                    int                       dimension,
                    int                       numberOfChannels)
{
  try
  {
    for (ConvolutionChain::Size size : { ConvolutionChain::Size{ 5, 4, 6 }, { 19, 18, 17 } })
    {
      size[2] = dimension == 2 ? 1 : size[2];
      if (!chain.acceptsPatches(size))
      {
        continue;
      }
      at::AutoGradMode gradientsOn(true);
      const at::Tensor patches = irregular(3, dimension, size).requires_grad_(true);
      const auto       layers = model.selected(repeated(patches, numberOfChannels), mask, unlikelyContext(dimension));
      const at::Tensor flat = patches.detach().flatten(1);

      // The last voxel of each layer stands for all.
      std::vector<ConvolutionChain::Place> places;
      std::vector<at::Tensor>              expected;
      std::vector<at::Tensor>              gradients;
      for (const at::Tensor & layer : layers)
      {
        const at::Tensor voxels = layer.flatten(2);
        places.push_back({ { voxels.size(2) - 1, 1.0F } });
        expected.push_back(voxels.select(2, voxels.size(2) - 1));
        gradients.push_back(at::linspace(0.5, 1.5, expected.back().numel(), at::kFloat).view(expected.back().sizes()));
      }
      ConvolutionChain::Tape tape;
      const auto             found = chain.patchFeatures(flat, size, places, &tape);
      for (std::size_t i = 0; i < expected.size(); ++i)
      {
        if (!alike(found[i], expected[i].detach(), 1e-4))
        {
          return false;
        }
      }
      const at::Tensor back = torch::autograd::grad(expected, { patches }, gradients)[0];
      // Looser: a rectifier's input that is all but zero may be taken for either side.
      return alike(chain.pullBackToIntensities(flat, size, places, tape, gradients), back.flatten(1), 1e-2);
    }
    return true;
  }
  catch (const std::exception &)
  {
    return false;
  }
}

} // namespace impact
