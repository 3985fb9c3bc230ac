#include "impact/models/proof.h"

#include "impact/models/layer_layout.h"

namespace impact
{
namespace
{

/** Statistics without round numbers, as no image has them. */
ImageContext
unlikelyContext(const at::Tensor & direction)
{
  return { at::tensor({ -437.5F, 431.0F, 23.5F, 309.0F }), direction };
}

/** A wave whose period fits no grid: irregular, always the same. */
at::Tensor
irregular(std::int64_t number, int dimension, const NetworkChain::Size & size)
{
  const auto shape = inputShape(number, 1, dimension, size);
  const auto count = c10::multiply_integers(shape);
  return (at::arange(count, at::dtype(at::kDouble)) * 12.9898).sin().mul(437.5).to(at::kFloat).view(shape);
}

/** An image in four parts along its first axis: irregular; constant; beyond what any scanner gives; and with noise that
 * is hardly more than rounding. Bounds that a network has show somewhere. */
at::Tensor
ofAllKinds(int dimension, const NetworkChain::Size & size)
{
  at::Tensor         image = irregular(1, dimension, size);
  const std::int64_t quarter = image.size(2) / 4;
  image.narrow(2, quarter, quarter).fill_(1000.3);
  image.narrow(2, 2 * quarter, quarter).mul_(3e4);
  image.narrow(2, 3 * quarter, image.size(2) - 3 * quarter).mul_(1e-6).add_(-10.0);
  return image;
}

at::Tensor
repeated(const at::Tensor & grey, int numberOfChannels)
{
  auto shape = grey.sizes().vec();
  shape[1] = numberOfChannels;
  return grey.expand(shape).contiguous();
}

/** Images of more voxels go the way that large ones go: weights are transformed (ConvolutionUnit::fewVoxels). */
constexpr std::int64_t enoughVoxels = 4000;

constexpr double ofKernels = 1e-4; // how far our kernels' layers may be from torch's, of the largest feature

bool
alike(const at::Tensor & found, const at::Tensor & expected, double tolerance)
{
  return found.sizes() == expected.sizes() &&
         (found - expected).abs().max().item<double>() <= tolerance * expected.abs().max().item<double>();
}

} // namespace

bool
isTheSame(const LayersOf & network, const LayersOf & other, const ProofInput & input, ProofOf what)
{
  const bool derivative = what == ProofOf::Derivative;
  // Networks want so many voxels that their strides leave some; or multiples of their strides, or of their patches.
  for (NetworkChain::Size size : { NetworkChain::Size{ 10, 11, 9 },
                                   { 19, 18, 17 },
                                   { 34, 33, 35 },
                                   { 28, 42, 56 },
                                   { 32, 48, 64 },
                                   { 64, 64, 96 } })
  {
    size[2] = input.dimension == 2 ? 1 : size[2];
    if ((what == ProofOf::LayersNearly && voxelsOf(size) <= enoughVoxels) || (what == ProofOf::Bits && size[1] < 30))
    {
      continue;
    }
    const at::AutoGradMode gradients(derivative);
    const at::Tensor       image =
      repeated(what == ProofOf::Bits ? ofAllKinds(input.dimension, size) : irregular(1, input.dimension, size),
               input.numberOfChannels);
    const ImageContext      context = unlikelyContext(input.direction);
    std::vector<at::Tensor> expected;
    image.requires_grad_(derivative);
    try
    {
      expected = network(image, context);
    }
    catch (const std::exception &)
    {
      continue;
    }
    try
    {
      const auto found = other(image, context);
      const auto same = [what](const at::Tensor & a, const at::Tensor & b) {
        return what == ProofOf::Bits ? at::equal(a, b)
               : what == ProofOf::LayersNearly
                 ? alike(a, b, ofKernels)
                 : a.sizes() == b.sizes() && at::allclose(a, b, 1e-5, 1e-6, /*equal_nan=*/true);
      };
      bool all = found.size() == expected.size() &&
                 std::equal(found.begin(), found.end(), expected.begin(), [&](const auto & a, const auto & b) {
                   return a.requires_grad() == b.requires_grad() && same(a.detach(), b.detach());
                 });
      for (std::size_t i = 0; all && derivative && i < found.size(); ++i)
      {
        const auto derivativeOf = [&](const at::Tensor & layer) {
          const at::Tensor weights = irregular(1, 1, { layer.numel(), 1, 1 }).view(layer.sizes());
          return torch::autograd::grad({ layer }, { image }, { weights }, true, false, true)[0];
        };
        if (found[i].requires_grad())
        {
          const at::Tensor a = derivativeOf(found[i]);
          const at::Tensor b = derivativeOf(expected[i]);
          all = a.defined() == b.defined() && (!a.defined() || alike(a, b, 1e-5));
        }
      }
      return all;
    }
    catch (const std::exception &)
    {
      return false;
    }
  }
  return false;
}

bool
givesTheSameLayers(const LayersOf & network, const NetworkChain & chain, const ProofInput & input)
{
  try
  {
    const ImageContext context = unlikelyContext(input.direction);
    int                compared = 0;
    for (NetworkChain::Size size : { NetworkChain::Size{ 10, 11, 9 }, { 27, 20, 15 }, { 45, 40, 36 } })
    {
      if (input.dimension == 2)
      {
        const std::int64_t times = compared > 0 ? 3 : 1;
        size = { times * size[0], times * size[1], 1 };
      }
      if (compared == 2 || !chain.accepts(size))
      {
        continue;
      }
      const at::Tensor image = irregular(1, input.dimension, size);
      const auto       expected = network(repeated(image, input.numberOfChannels), context);
      const auto       found = chain.layers(image.select(0, 0).select(0, 0), context);
      for (std::size_t i = 0; i < expected.size(); ++i)
      {
        if (!alike(found[i], expected[i], ofKernels))
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
givesTheSamePatches(const LayersOf & network, const NetworkChain & chain, const ProofInput & input)
{
  try
  {
    bool compared = false;
    for (NetworkChain::Size size : { NetworkChain::Size{ 5, 4, 6 }, { 19, 18, 17 }, { 35, 37, 34 } })
    {
      size[2] = input.dimension == 2 ? 1 : size[2];
      // Normalised over a few voxels, rounding is all that some features are of.
      if ((compared && size[0] > 19) || !chain.acceptsPatches(size) || chain.leastVoxels(size) < 8)
      {
        continue;
      }
      compared = true;
      at::AutoGradMode   gradientsOn(true);
      const ImageContext context = unlikelyContext(input.direction);
      const at::Tensor   patches = irregular(3, input.dimension, size).requires_grad_(true);
      const auto         layers = network(repeated(patches, input.numberOfChannels), context);
      const at::Tensor   flat = patches.detach().flatten(1);

      // The last voxel of each layer stands for all.
      std::vector<NetworkChain::Place> places;
      std::vector<at::Tensor>          expected;
      std::vector<at::Tensor>          gradients;
      for (const at::Tensor & layer : layers)
      {
        const at::Tensor voxels = layer.flatten(2);
        places.push_back({ { voxels.size(2) - 1, 1.0F } });
        expected.push_back(voxels.select(2, voxels.size(2) - 1));
        gradients.push_back(at::linspace(0.5, 1.5, expected.back().numel(), at::kFloat).view(expected.back().sizes()));
      }
      NetworkChain::Tape tape;
      const auto         found = chain.patchFeatures(flat, size, places, context, &tape);
      for (std::size_t i = 0; i < expected.size(); ++i)
      {
        if (!alike(found[i], expected[i].detach(), ofKernels))
        {
          return false;
        }
      }
      const at::Tensor back = torch::autograd::grad(expected, { patches }, gradients)[0];
      // Looser: a rectifier's input that is all but zero may be taken for either side.
      return alike(chain.pullBackToIntensities(flat, size, places, tape, gradients), back.flatten(1), 1e-2);
    }
    return compared;
  }
  catch (const std::exception &)
  {
    return false;
  }
}

} // namespace impact
