#include "impact/models/model.h"

#include "impact/base/error.h"
#include "impact/base/text.h"
#include "impact/runtime/torch_messages.h"
#include "impact/runtime/torch_tasks.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

namespace impact
{

namespace
{

/** The mean of what a function makes of numbers, added up piece by piece in order. */
template <typename Function>
double
meanOf(const at::Tensor & numbers, const Function & function)
{
  constexpr std::int64_t perPiece = std::int64_t{ 1 } << 18;
  const std::int64_t     count = numbers.numel();
  std::vector<double>    sums(static_cast<std::size_t>((count + perPiece - 1) / perPiece));
  torchInPieces(count, perPiece, [&](std::int64_t first, std::int64_t number) {
    sums[static_cast<std::size_t>(first / perPiece)] =
      function(numbers.narrow(0, first, number)).sum().template item<double>();
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(count);
}

} // namespace

bool
allFinite(const at::Tensor & layer)
{
  const auto isFinite = [](const at::Tensor & part) {
    // The sum is quick, and may overflow.
    return at::isfinite(part.sum()).item<bool>() || at::isfinite(part).all().item<bool>();
  };
  if (!layer.is_cpu() || !layer.is_contiguous())
  {
    return isFinite(layer);
  }
  constexpr std::int64_t perPiece = std::int64_t{ 1 } << 18;
  const at::Tensor       numbers = layer.detach().view({ -1 });
  std::atomic<bool>      all{ true };
  torchInPieces(numbers.numel(), perPiece, [&](std::int64_t first, std::int64_t number) {
    if (all && !isFinite(numbers.narrow(0, first, number)))
    {
      all = false;
    }
  });
  return all;
}

ModelError
featuresNotFinite(const std::string & path)
{
  return ModelError(path,
                    " gives features that are infinite or not a number.",
                    "Check the intensities of the images (NaN?), and "
                    "that the model is meant for them.");
}

ImageContext
ImageContext::of(const ImageView & image, const Matrix & axes, at::Device device)
{
  const auto   pixels = at::from_blob(const_cast<float *>(image.pixels), { image.grid.numberOfVoxels() }, at::kFloat);
  const double mean = meanOf(pixels, [](const at::Tensor & part) { return part.to(at::kDouble); });
  const double variance =
    meanOf(pixels, [mean](const at::Tensor & part) { return (part.to(at::kDouble) - mean).square(); });
  return { at::tensor({ pixels.min().item<float>(),
                        pixels.max().item<float>(),
                        static_cast<float>(mean),
                        static_cast<float>(std::sqrt(variance)) })
             .to(device),
           directionOf(axes, image.grid.dimension).to(device) };
}

at::Tensor
ImageContext::directionOf(const Matrix & axes, int dimension)
{
  const Matrix snapped = snapToSignedPermutation(axes, dimension);
  at::Tensor   direction = at::empty({ dimension, dimension }, at::kFloat);
  for (int r = 0; r < dimension; ++r)
  {
    for (int c = 0; c < dimension; ++c)
    {
      direction[r][c] = snapped[r][c];
    }
  }
  return direction;
}

std::size_t
Model::numberOfLayersFor(const std::vector<bool> & mask) const
{
  const auto behindLast = static_cast<std::size_t>(mask.rend() - std::find(mask.rbegin(), mask.rend(), true));
  return acceptsNumberOfLayers() ? behindLast : mask.size();
}

std::vector<at::Tensor>
Model::selected(const at::Tensor & input, const std::vector<bool> & mask, const ImageContext & context) const
{
  const std::size_t             wanted = numberOfLayersFor(mask);
  const std::vector<at::Tensor> all = layers(input, wanted, context);
  if (all.size() < wanted || (all.size() > mask.size() && !acceptsNumberOfLayers()))
  {
    throw ParameterError("LayersMask",
                         "it has " + std::to_string(mask.size()) + " entries, but model file \"" + path() +
                           "\" gives " + std::to_string(all.size()) + " layers.",
                         "Give one 0 or 1 for each layer.");
  }
  std::vector<at::Tensor> result;
  for (std::size_t i = 0; i < wanted; ++i)
  {
    if (mask[i])
    {
      result.push_back(all[i]);
    }
  }
  return checked(std::move(result), mask, input);
}

std::vector<at::Tensor>
Model::checked(std::vector<at::Tensor> selected, const std::vector<bool> & mask, const at::Tensor & input) const
{
  std::size_t number = 0;
  for (const at::Tensor & layer : selected)
  {
    number += static_cast<std::size_t>(std::find(mask.begin() + static_cast<std::ptrdiff_t>(number), mask.end(), true) -
                                       mask.begin() - static_cast<std::ptrdiff_t>(number));
    if (layer.dim() != input.dim() || layer.size(0) != input.size(0) || layer.numel() == 0)
    {
      throw ModelError(path(),
                       ": layer " + std::to_string(number) + " has shape " + shapeOf(layer) + " for an input of " +
                         shapeOf(input) + ".",
                       "Allowed: batch x channels x voxels, with the input's batch and number of axes.");
    }
    ++number;
  }
  return selected;
}

ModelPointer
ModelRepository::get(const std::string & path, at::Device device, bool mixedPrecision)
{
  return m_Models.of({ path, device.str(), mixedPrecision },
                     [&] { return loadTorchScript(path, device, mixedPrecision); });
}

ModelRepositoryPointer
makeModelRepository()
{
  return std::make_shared<ModelRepository>();
}

} // namespace impact
