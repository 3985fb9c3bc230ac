#include "impact/api/level_check.h"
#include "impact/api/messages.h"
#include "impact/base/error.h"
#include "impact/compare/feature_normalization.h"
#include "impact/features/feature_cache.h"
#include "impact/features/feature_map.h"
#include "impact/kernels/processor.h"
#include "impact/models/layer_layout.h"
#include "impact/models/model.h"
#include "impact/models/time_limit.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_scope.h"
#include "impact/similarity/model_trial.h"

#include <array>
#include <optional>
#include <utility>

namespace impact
{
namespace
{

/** One level, from the first of its pairs of models to the last. What is found goes into the result. */
class LevelChecker
{
public:
  explicit LevelChecker(const LevelToCheck & level)
    : m_Level(level)
    , m_Settings(level.settings)
    , m_ImagesAreKnown(level.fixedGrid && level.movingGrid)
    , m_Memory(level.settings)
  {}

  LevelCheck
  check()
  {
    attempt("", nullptr, [] { // says what is wrong with the environment, if anything
      geometryKernels();
      FeatureCache::ofEnvironment();
    });
    // Without the device the models are opened on the CPU instead, to find what else is wrong.
    const bool deviceIsThere = attempt("", nullptr, [this] { m_Device = deviceOf(m_Settings.gpu); });
    if (!deviceIsThere || !m_Level.settingsAreRight)
    {
      openModels();
      return std::move(m_Found);
    }
    const int  dimension = m_Settings.fixedModels.empty() ? 3 : gridOf(m_Settings.fixedModels[0], true).dimension;
    const bool deviceWorks = attempt("", nullptr, [&] {
      onDevice(m_Device, "the check of a level", [&] {
        m_Context = { at::tensor({ -1.0F, 1.0F, 0.0F, 0.7F }).to(m_Device),
                      at::eye(dimension, at::dtype(at::kFloat).device(m_Device)) };
      });
    });
    if (!deviceWorks)
    {
      return std::move(m_Found);
    }
    for (std::size_t pair = 0; pair < m_Settings.fixedModels.size(); ++pair)
    {
      checkPair(pair);
      m_FirstLayer += numberOfSelectedLayers(m_Settings.fixedModels[pair]);
    }
    if (m_Level.isSurveyed && m_Settings.mode == Mode::Static && m_ImagesAreKnown)
    {
      m_Found.bytes = m_Memory.atPeak();
    }
    attempt("", nullptr, [this] {
      onDevice(m_Device, "the check of a level", [this] {
        if (const auto problem = m_ImagesAreKnown ? m_Memory.tooMuch(m_Device) : std::nullopt)
        {
          report("FixedVoxelSize", *problem);
        }
      });
    });
    return std::move(m_Found);
  }

private:
  /** The channels of the selected layers. */
  using Channels = std::vector<std::int64_t>;

  static const char *
  sideOf(bool isFixed)
  {
    return isFixed ? "Fixed" : "Moving";
  }

  const ModelSettings &
  modelOf(std::size_t pair, bool isFixed) const
  {
    return isFixed ? m_Settings.fixedModels[pair] : m_Settings.movingModels[pair];
  }

  Grid
  gridOf(const ModelSettings & model, bool isFixed) const
  {
    return m_ImagesAreKnown ? (isFixed ? *m_Level.fixedGrid : *m_Level.movingGrid) : nominalGrid(model);
  }

  /** The axes along which the models of a pair see both images. */
  Matrix
  axesOf(std::size_t pair) const
  {
    return gridOf(m_Settings.fixedModels[pair], true).direction;
  }

  ModelPointer
  opened(const ModelSettings & model) const
  {
    return m_Level.models->get(model.path, m_Device, m_Settings.networksAreMixed());
  }

  void
  report(const std::string & parameter, Problem problem, bool namesFile = false)
  {
    const std::string name = parameter.empty() ? parameter : m_Settings.nameOf(parameter);
    addFinding(m_Found.findings,
               { std::move(problem), Finding::Severity::Error, name, { m_Settings.level }, namesFile });
  }

  /** Does something, with a model if there is one, and reports what it throws. \return whether it threw nothing */
  template <typename Action>
  bool
  attempt(const std::string & side, const ModelSettings * model, const Action & action)
  {
    try
    {
      action();
      return true;
    }
    catch (const ParameterError & error)
    {
      Problem problem = error.problem();
      problem.path = model ? model->path : "";
      report(side + error.parameter(), std::move(problem));
    }
    catch (const Error & error)
    {
      const bool isOfModel = model && !error.problem().path.empty();
      report(isOfModel ? side + "ModelsPath" : "", error.problem(), isOfModel);
    }
    catch (const std::exception & error)
    {
      report("", { model ? Problem::Kind::Model : Problem::Kind::Machine, messageOf(error) });
    }
    return false;
  }

  void
  openModels()
  {
    for (const bool isFixed : { true, false })
    {
      for (const ModelSettings & model : isFixed ? m_Settings.fixedModels : m_Settings.movingModels)
      {
        attempt(sideOf(isFixed), &model, [&] { opened(model); });
      }
    }
  }

  void
  checkPair(std::size_t pair)
  {
    const auto fixed = trial(pair, true);
    const auto moving = trial(pair, false);
    if (!fixed || !moving)
    {
      return;
    }
    const Channels channels = channelsOf(*fixed);
    addMemory(pair, true, *fixed);
    survey(pair, true, *fixed);
    addMemory(pair, false, *moving);
    survey(pair, false, *moving);
    checkComponents(pair, channels);
    for (const bool isFixed : { true, false })
    {
      const ModelSettings & model = modelOf(pair, isFixed);
      attempt(sideOf(isFixed), &model, [&] { checkNormalization(model, channelsOf(isFixed ? *fixed : *moving)); });
    }
    if (channels != channelsOf(*moving))
    {
      report("MovingLayersMask",
             { Problem::Kind::Mismatch,
               "models \"" + modelOf(pair, true).path + "\" and \"" + modelOf(pair, false).path +
                 "\" differ in the number of channels of their selected layers, so that features cannot be compared.",
               "Choose FixedLayersMask and MovingLayersMask, or the models, so that they agree.",
               modelOf(pair, false).path });
    }
  }

  /** Runs a model of a pair once. \return none where that was not possible, which is reported then */
  std::optional<TriedModel>
  trial(std::size_t pair, bool isFixed)
  {
    const ModelSettings & model = modelOf(pair, isFixed);
    const Grid            grid = gridOf(model, isFixed).alongAxes(axesOf(pair));
    if (m_Settings.mode == Mode::Jacobian && m_ImagesAreKnown)
    {
      if (const auto problem = patchTooLarge(model, grid, isFixed ? "fixed" : "moving"))
      {
        report(sideOf(isFixed) + std::string("PatchSize"), *problem);
        return std::nullopt;
      }
    }
    TriedModel tried;
    const bool ran = attempt(sideOf(isFixed), &model, [&] {
      const TimeLimit timeLimit;
      onDevice(m_Device, "the first run of the networks", [&] {
        const ModelPointer loaded = opened(model);
        tried = m_Settings.mode == Mode::Static ? tryStatically(m_Settings, model, grid, *loaded, m_Context)
                                                : tryPatches(m_Settings, model, grid, *loaded, m_Context);
      });
    });
    return ran ? std::optional(tried) : std::nullopt;
  }

  static Channels
  channelsOf(const TriedModel & tried)
  {
    Channels channels;
    for (const TriedLayer & layer : tried.trial.layers)
    {
      channels.push_back(layer.channels);
    }
    return channels;
  }

  /** What the feature maps of a model will take. */
  void
  addMemory(std::size_t pair, bool isFixed, const TriedModel & tried)
  {
    if (m_Settings.mode != Mode::Static)
    {
      return;
    }
    const ModelSettings &     model = modelOf(pair, isFixed);
    std::vector<std::int64_t> components;
    for (std::size_t n = 0; n < tried.trial.layers.size(); ++n)
    {
      components.push_back(m_FirstLayer + n < m_Settings.layers.size() ? m_Settings.layers[m_FirstLayer + n].pca : 0);
    }
    // Features of a warped image lie on the fixed grid.
    const Grid grid = gridOf(model, isFixed || m_Settings.featuresMapUpdateInterval > 0);
    m_Memory.add(model, inputGrid(model, grid, axesOf(pair)), tried, components);
  }

  /** What a model sees of its image and gives. */
  void
  survey(std::size_t pair, bool isFixed, const TriedModel & tried)
  {
    if (!m_Level.isSurveyed)
    {
      return;
    }
    const ModelSettings & model = modelOf(pair, isFixed);
    SurveyedModel         surveyed{ pair, isFixed, { 0, 0, 0 }, {} };
    if (m_ImagesAreKnown)
    {
      attempt(sideOf(isFixed), &model, [&] {
        surveyed.imageSize = inputGrid(model, gridOf(model, isFixed), axesOf(pair)).size;
      });
    }
    std::array<std::int64_t, 3> inputSize{ 1, 1, 1 };
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(model.dimension); ++axis)
    {
      const std::int64_t whole = surveyed.imageSize[axis] > 0 ? surveyed.imageSize[axis] : 64;
      inputSize[axis] = model.patchSize[axis] > 0 ? model.patchSize[axis] : whole;
    }
    std::vector<std::optional<LayerLayout>> layouts;
    const bool                              measured = attempt(sideOf(isFixed), &model, [&] {
      onDevice(m_Device, "the first run of the networks", [&] {
        layouts = measureLayouts(
          *opened(model), model.dimension, model.numberOfChannels, model.layersMask, m_Context, m_Device, inputSize);
      });
    });
    if (!measured)
    {
      return;
    }
    for (std::size_t n = 0; n < tried.trial.layers.size(); ++n)
    {
      surveyed.layers.push_back({ tried.trial.layers[n].channels, layouts[n] });
    }
    if (m_Settings.mode == Mode::Jacobian)
    {
      m_Found.bytes += patchBytes(model, tried.trial, isFixed, m_Level.numberOfSamples);
    }
    m_Found.models.push_back(std::move(surveyed));
  }

  /** No layer can be reduced to more components than it has channels. */
  void
  checkComponents(std::size_t pair, const Channels & channels)
  {
    for (std::size_t n = 0; n < channels.size() && m_FirstLayer + n < m_Settings.layers.size(); ++n)
    {
      if (const auto components = m_Settings.layers[m_FirstLayer + n].pca; components > channels[n])
      {
        const std::string & path = modelOf(pair, true).path;
        report("PCA",
               { Problem::Kind::Value,
                 std::to_string(components) + " is not allowed, because selected layer " + std::to_string(n) +
                   " of model \"" + path + "\" has " + std::to_string(channels[n]) + " channels.",
                 "Allowed: 0 to " + std::to_string(channels[n]) + ".",
                 path });
      }
    }
  }

  const LevelToCheck &  m_Level;
  const LevelSettings & m_Settings;
  const bool            m_ImagesAreKnown;
  at::Device            m_Device{ at::kCPU };
  ImageContext          m_Context;
  FeatureMapMemory      m_Memory;
  std::size_t           m_FirstLayer{ 0 }; // of the pair being checked, among the selected layers of all
  LevelCheck            m_Found;
};

} // namespace

LevelCheck
checkLevel(const LevelToCheck & level)
{
  const TorchScope scope(level.workers);
  return LevelChecker(level).check();
}

} // namespace impact
