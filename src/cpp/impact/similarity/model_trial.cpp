#include "impact/similarity/model_trial.h"

#include "impact/features/feature_extractor.h"
#include "impact/features/feature_map.h"
#include "impact/models/layer_layout.h"
#include "impact/models/repeatability.h"
#include "impact/models/time_limit.h"
#include "impact/runtime/allocation_peak.h"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <limits>
#include <sstream>

namespace impact
{
namespace
{

std::string
millimetres(double value)
{
  std::ostringstream text;
  text << std::setprecision(4) << value << " mm";
  return text.str();
}

/** Size of the input on which a model is tried: its patch or tile, or the image, up to `most` voxels a side. */
std::array<std::int64_t, 3>
trialSize(const ModelSettings & model, const Grid & image, std::int64_t most)
{
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(model.dimension); ++axis)
  {
    size[axis] = model.patchSize[axis] > 0 ? model.patchSize[axis] : std::min(most, image.size[axis]);
  }
  return size;
}

double
voxelsOf(const std::array<std::int64_t, 3> & size)
{
  return static_cast<double>(c10::multiply_integers(size));
}

/** Of a network whose outline for inputs of a size is known. */
ModelTrial
trialOf(const NetworkOutline & outline, const std::array<std::int64_t, 3> & size)
{
  ModelTrial trial;
  for (const NetworkOutline::Layer & layer : outline.layers)
  {
    trial.layers.push_back({ layer.channels, voxelsOf(layer.size) / voxelsOf(size), true });
  }
  trial.bytes = static_cast<double>(outline.bytes) / voxelsOf(size);
  return trial;
}

/** Of one that is run. */
ModelTrial
trialOf(const Model &                     loaded,
        const ModelSettings &             model,
        const std::vector<std::int64_t> & shape,
        const ImageContext &              context,
        bool                              differentiated)
{
  const at::Device device = context.statistics.device();
  at::Tensor input = at::arange(c10::multiply_integers(shape), at::dtype(at::kFloat)).sin().view(shape).to(device);
  at::AutoGradMode gradients(differentiated);
  input.set_requires_grad(differentiated);
  std::vector<at::Tensor> layers;
  const double            voxels = voxelsOf(spatialSize(input));
  const auto bytes = allocationPeak(device, [&] { layers = loaded.selected(input, model.layersMask, context); });
  ModelTrial trial;
  for (const at::Tensor & layer : layers)
  {
    trial.layers.push_back({ layer.size(1), voxelsOf(spatialSize(layer)) / voxels, layer.requires_grad() });
  }
  trial.bytes = static_cast<double>(bytes) / voxels;
  return trial;
}

ModelTrial
tryModel(const LevelSettings &               settings,
         const ModelSettings &               model,
         const std::array<std::int64_t, 3> & size,
         const Model &                       loaded,
         const ImageContext &                context)
{
  const bool differentiated = settings.mode == Mode::Jacobian;
  const auto shape = inputShape(1, model.numberOfChannels, model.dimension, size);
  if (const NetworkChain * const chain =
        !differentiated && context.statistics.device().is_cpu()
          ? loaded.chain(model.layersMask, model.dimension, model.numberOfChannels, context.direction, ChainUse::Images)
          : nullptr;
      chain && chain->accepts(size))
  {
    // It was tried when it was compared with the network, and holds for images of any size.
    ModelTrial ofChain;
    for (const NetworkChain::Layer & layer : chain->description(size))
    {
      const auto & stride = layer.layout.stride;
      ofChain.layers.push_back({ layer.channels, 1.0 / (stride[0] * stride[1] * stride[2]), true });
    }
    ofChain.bytes = static_cast<double>(chain->bytesOfImage(size)) / static_cast<double>(c10::multiply_integers(size));
    return ofChain;
  }
  const ModelMemory::TrialKey key{ model.numberOfChannels, model.layersMask, shape, differentiated };
  ModelTrial                  trial = loaded.memory().trials.find(key).value_or(ModelTrial());
  if (trial.layers.empty())
  {
    const auto outline =
      !differentiated && context.statistics.device().is_cpu()
        ? loaded.outline(model.layersMask, model.dimension, model.numberOfChannels, context.direction, size)
        : std::nullopt;
    trial = outline ? trialOf(*outline, size) : trialOf(loaded, model, shape, context, differentiated);
    loaded.memory().trials.keep(key, trial);
    checkRepeats(model, size, loaded, context);
  }
  for (const TriedLayer & layer : trial.layers)
  {
    if (differentiated && !layer.differentiable)
    {
      throw ParameterError("Mode",
                           "\"Jacobian\" needs models that can be differentiated, but a selected layer of \"" +
                             model.path + "\" does not depend on its input in a way that torch can follow.",
                           "Use Mode \"Static\".");
    }
  }
  return trial;
}

} // namespace

std::optional<Problem>
patchTooLarge(const ModelSettings & model, const Grid & grid, const std::string & side)
{
  std::array<double, 3> extents{ grid.extent(0), grid.extent(1), grid.extent(2) };
  if (model.dimension < grid.dimension)
  {
    // In which plane of a 3D image a 2D model looks varies: its patch must fit the largest one at least.
    std::sort(extents.begin(), extents.end(), std::greater<>());
  }
  for (std::size_t axis = 0; axis < model.patchSize.size(); ++axis)
  {
    const double span = static_cast<double>(model.patchSize[axis]) * model.voxelSize[axis];
    const double extent = extents[axis];
    if (span > extent * (1.0 + 1e-6))
    {
      const auto largest = static_cast<std::int64_t>(extent / model.voxelSize[axis]);
      return Problem{ Problem::Kind::Mismatch,
                      std::to_string(model.patchSize[axis]) + " voxels of " + millimetres(model.voxelSize[axis]) +
                        " (VoxelSize) span " + millimetres(span) + " along axis " + "xyz"[axis] + ", but the " + side +
                        " image only " + millimetres(extent) + ".",
                      "Allowed: at most " + std::to_string(largest) + " voxels; or choose a smaller VoxelSize.",
                      model.path };
    }
  }
  return std::nullopt;
}


TriedModel
tryPatches(const LevelSettings & settings,
           const ModelSettings & model,
           const Grid &          grid,
           const Model &         loaded,
           const ImageContext &  context)
{
  return { tryModel(settings, model, trialSize(model, grid, 0), loaded, context) };
}


TriedModel
tryStatically(const LevelSettings & settings,
              const ModelSettings & model,
              const Grid &          grid,
              const Model &         loaded,
              const ImageContext &  context)
{
  constexpr std::int64_t enough = 64; // for most networks
  const Grid             seen = inputGrid(model, grid, grid.direction);
  // A tile is as large as the image along an axis where that is smaller.
  ModelSettings clipped = model;
  for (std::size_t axis = 0; axis < clipped.patchSize.size(); ++axis)
  {
    clipped.patchSize[axis] = std::min(clipped.patchSize[axis], seen.size[axis]);
  }
  auto       size = trialSize(clipped, seen, enough);
  TriedModel tried;
  try
  {
    tried.trial = tryModel(settings, model, size, loaded, context);
  }
  catch (const TimeLimitError &)
  {
    throw;
  }
  catch (const Error &)
  {
    const auto whole = trialSize(clipped, seen, std::numeric_limits<std::int64_t>::max());
    if (whole == size)
    {
      throw;
    }
    tried.trial = tryModel(settings, model, whole, loaded, context); // it may want images as large as they are
  }
  tried.describeRuns(FeatureExtractor(loaded, model, context, context.statistics.device(), seen.size), model, seen);
  return tried;
}


Grid
nominalGrid(const ModelSettings & model)
{
  constexpr std::int64_t enough = 64;
  Grid                   grid;
  grid.dimension = static_cast<int>(model.voxelSize.size());
  for (std::size_t axis = 0; axis < model.voxelSize.size(); ++axis)
  {
    grid.size[axis] = axis < model.patchSize.size() ? std::max(enough, model.patchSize[axis]) : enough;
    grid.spacing[axis] = model.voxelSize[axis] > 0.0 ? model.voxelSize[axis] : 1.0;
  }
  return grid;
}

} // namespace impact
