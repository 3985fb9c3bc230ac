#include "impact/api/level_check.h"
#include "impact/api/messages.h"
#include "impact/base/error.h"
#include "impact/features/feature_cache.h"
#include "impact/features/feature_extractor.h"
#include "impact/features/feature_map.h"
#include "impact/kernels/processor.h"
#include "impact/models/check_model.h"
#include "impact/models/layer_layout.h"
#include "impact/models/model.h"
#include "impact/models/time_limit.h"
#include "impact/runtime/allocation_peak.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_scope.h"
#include "impact/similarity/level_memory.h"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <limits>
#include <optional>
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

/** A patch must not be larger than the image it is taken from: it would show little but repeated edges. */
std::optional<std::string>
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
      return std::to_string(model.patchSize[axis]) + " voxels of " + millimetres(model.voxelSize[axis]) +
             " (VoxelSize) span " + millimetres(span) + " along axis " + "xyz"[axis] + ", but the " + side +
             " image only " + millimetres(extent) + ". Allowed: at most " + std::to_string(largest) +
             " voxels; or choose a smaller VoxelSize.";
    }
  }
  return std::nullopt;
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

Model::Trial
tryModel(const LevelSettings &               settings,
         const ModelSettings &               model,
         const std::array<std::int64_t, 3> & size,
         const Model &                       loaded,
         const ImageContext &                context)
{
  const bool differentiated = settings.mode == Mode::Jacobian;
  const auto shape = inputShape(1, model.numberOfChannels, model.dimension, size);
  if (const ConvolutionChain * const chain =
        !differentiated && context.statistics.device().is_cpu()
          ? loaded.chain(model.layersMask, model.dimension, model.numberOfChannels, ChainUse::Images)
          : nullptr;
      chain && chain->takes(size))
  {
    // It was tried when it was compared with the network, and holds for images of any size.
    Model::Trial ofChain;
    for (const ConvolutionChain::Layer & layer : chain->description())
    {
      const auto & stride = layer.layout.stride;
      ofChain.layers.push_back({ layer.channels, 1.0 / (stride[0] * stride[1] * stride[2]), true });
    }
    ofChain.bytes = static_cast<double>(chain->bytesOfImage(size)) / static_cast<double>(c10::multiply_integers(size));
    return ofChain;
  }
  Model::Trial & trial = loaded.trialMemory()[{ model.numberOfChannels, model.layersMask, shape, differentiated }];
  if (trial.layers.empty())
  {
    const at::Device device = context.statistics.device();
    at::Tensor input = at::arange(c10::multiply_integers(shape), at::dtype(at::kFloat)).sin().view(shape).to(device);
    at::AutoGradMode gradients(differentiated);
    input.set_requires_grad(differentiated);
    const auto              voxels = static_cast<double>(c10::multiply_integers(size));
    std::vector<at::Tensor> layers;
    const auto bytes = allocationPeak(device, [&] { layers = loaded.selected(input, model.layersMask, context); });
    for (const at::Tensor & layer : layers)
    {
      const auto of = static_cast<double>(c10::multiply_integers(spatialSize(layer)));
      trial.layers.push_back({ layer.size(1), of / voxels, layer.requires_grad() });
    }
    trial.bytes = static_cast<double>(bytes) / voxels;
    checkRepeats(model, size, loaded, context);
  }
  for (const Model::TriedLayer & layer : trial.layers)
  {
    if (differentiated && !layer.differentiable)
    {
      throw ParameterError("Mode",
                           "\"Jacobian\" needs models that can be differentiated, but a selected layer of \"" +
                             model.path +
                             "\" does not depend on its input in a way that torch can follow. Use Mode \"Static\".");
    }
  }
  return trial;
}

/** The same for a model that sees whole images or tiles of them: also whether tiles are large enough. */
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

/** An image for a model of which none is known: large enough for its patch and for most networks. */
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

} // namespace

std::vector<Finding>
checkLevel(const LevelSettings &            settings,
           bool                             settingsAreRight,
           const std::optional<Grid> &      fixedGrid,
           const std::optional<Grid> &      movingGrid,
           const ModelRepositoryPointer &   models,
           const std::shared_ptr<Workers> & workers,
           LevelSurvey *                    survey)
{
  const TorchScope     scope(workers);
  std::vector<Finding> findings;
  const auto           report = [&](const std::string & parameter, const std::string & text) {
    addFinding(findings, { Finding::Severity::Error, settings.nameOf(parameter), text, { settings.level } });
  };
  const auto attempt = [&](const std::string & side, const auto & action) {
    try
    {
      action();
      return true;
    }
    catch (const ParameterError & error)
    {
      report(side + error.parameter(), error.text());
    }
    catch (const std::exception & error)
    {
      addFinding(findings, { Finding::Severity::Error, "", messageOf(error), { settings.level } });
    }
    return false;
  };

  attempt("", [] { // says what is wrong with the environment, if anything
    geometryKernels();
    FeatureCache::ofEnvironment();
  });

  at::Device device(at::kCPU);
  if (!attempt("", [&] { device = deviceOf(settings.gpu); }))
  {
    settingsAreRight = false; // the models are opened on the CPU instead, to find what else is wrong
  }
  if (!settingsAreRight)
  {
    for (const bool isFixed : { true, false })
    {
      for (const ModelSettings & model : isFixed ? settings.fixedModels : settings.movingModels)
      {
        attempt(isFixed ? "Fixed" : "Moving", [&] { models->get(model.path, device, settings.networksAreMixed()); });
      }
    }
    return findings;
  }
  const bool imagesAreKnown = fixedGrid && movingGrid;
  const auto gridOf = [&](const ModelSettings & model, bool isFixed) {
    return imagesAreKnown ? (isFixed ? *fixedGrid : *movingGrid) : nominalGrid(model);
  };
  const int          dimension = settings.fixedModels.empty() ? 3 : gridOf(settings.fixedModels[0], true).dimension;
  const ImageContext context{ at::tensor({ -1.0F, 1.0F, 0.0F, 0.7F }).to(device),
                              at::eye(dimension, at::dtype(at::kFloat).device(device)) };
  MapMemory          memory(settings);
  std::size_t        firstLayer = 0;
  for (std::size_t i = 0; i < settings.fixedModels.size(); ++i)
  {
    std::array<TriedModel, 2> tried;
    bool                      bothRan = true;
    for (const bool isFixed : { true, false })
    {
      const ModelSettings & model = isFixed ? settings.fixedModels[i] : settings.movingModels[i];
      const Matrix          axes = gridOf(settings.fixedModels[i], true).direction;
      const Grid            grid = gridOf(model, isFixed).alongAxes(axes);
      const std::string     side = isFixed ? "Fixed" : "Moving";
      const auto            text = settings.mode == Mode::Jacobian && imagesAreKnown
                                     ? patchTooLarge(model, grid, isFixed ? "fixed" : "moving")
                                     : std::nullopt;
      if (text)
      {
        report(side + "PatchSize", *text);
        bothRan = false;
        continue;
      }
      bothRan = attempt(side,
                        [&] {
                          const TimeLimit timeLimit;
                          onDevice(device, "the first run of the networks", [&] {
                            const ModelPointer loaded = models->get(model.path, device, settings.networksAreMixed());
                            tried[isFixed ? 0 : 1] =
                              settings.mode == Mode::Static
                                ? tryStatically(settings, model, grid, *loaded, context)
                                : TriedModel{ tryModel(settings, model, trialSize(model, grid, 0), *loaded, context) };
                          });
                        }) &&
                bothRan;
    }
    std::array<std::vector<std::int64_t>, 2> channels;
    for (std::size_t side = 0; bothRan && side < 2; ++side)
    {
      const ModelSettings & model = side == 0 ? settings.fixedModels[i] : settings.movingModels[i];
      // Features of a warped image lie on the fixed grid.
      const Grid                grid = gridOf(model, side == 0 || settings.featuresMapUpdateInterval > 0);
      const Matrix              axes = gridOf(settings.fixedModels[i], true).direction;
      const auto &              layers = tried[side].trial.layers;
      std::vector<std::int64_t> components;
      for (std::size_t n = 0; n < layers.size(); ++n)
      {
        channels[side].push_back(layers[n].channels);
        components.push_back(firstLayer + n < settings.layers.size() ? settings.layers[firstLayer + n].pca : 0);
      }
      if (settings.mode == Mode::Static)
      {
        memory.add(model, inputGrid(model, grid, axes), tried[side], components);
      }
      if (survey)
      {
        SurveyedModel ofModel{ i, side == 0, { 0, 0, 0 }, {} };
        if (imagesAreKnown)
        {
          attempt(side == 0 ? "Fixed" : "Moving",
                  [&] { ofModel.imageSize = inputGrid(model, gridOf(model, side == 0), axes).size; });
        }
        const auto layouts = measureLayouts(*models->get(model.path, device, settings.networksAreMixed()),
                                            model.dimension,
                                            model.numberOfChannels,
                                            model.layersMask,
                                            context,
                                            device);
        for (std::size_t n = 0; n < layers.size(); ++n)
        {
          ofModel.layers.push_back({ layers[n].channels, layouts[n] });
        }
        if (settings.mode == Mode::Jacobian)
        {
          survey->bytes += patchBytes(model, tried[side].trial, side == 0, survey->numberOfSamples);
        }
        survey->models.push_back(std::move(ofModel));
      }
    }
    for (std::size_t n = 0; bothRan && n < channels[0].size() && firstLayer + n < settings.layers.size(); ++n)
    {
      if (const auto components = settings.layers[firstLayer + n].pca; components > channels[0][n])
      {
        report("PCA",
               std::to_string(components) + " is not allowed, because selected layer " + std::to_string(n) +
                 " of model \"" + settings.fixedModels[i].path + "\" has " + std::to_string(channels[0][n]) +
                 " channels. Allowed: 0 to " + std::to_string(channels[0][n]) + ".");
      }
    }
    firstLayer += numberOfSelectedLayers(settings.fixedModels[i]);
    if (bothRan && channels[0] != channels[1])
    {
      report(
        "MovingLayersMask",
        "models \"" + settings.fixedModels[i].path + "\" and \"" + settings.movingModels[i].path +
          "\" differ in the number of channels of their selected layers, so that features cannot be compared. Choose "
          "FixedLayersMask and MovingLayersMask, or the models, so that they agree.");
    }
  }
  if (survey && settings.mode == Mode::Static && imagesAreKnown)
  {
    survey->bytes = memory.atPeak();
  }
  if (const auto text = imagesAreKnown ? memory.tooMuch(device) : std::nullopt)
  {
    report("FixedVoxelSize", *text);
  }
  return findings;
}

} // namespace impact
