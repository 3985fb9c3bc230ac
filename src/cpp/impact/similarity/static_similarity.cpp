#include "impact/api/similarity.h"
#include "impact/base/memory.h"
#include "impact/compare/channels.h"
#include "impact/compare/distance.h"
#include "impact/compare/loss_divisors.h"
#include "impact/compare/principal_components.h"
#include "impact/compare/sample_distances.h"
#include "impact/features/feature_cache.h"
#include "impact/features/feature_sampling.h"
#include "impact/models/model_view.h"
#include "impact/runtime/batches.h"
#include "impact/runtime/torch_scope.h"
#include "impact/similarity/feature_map_writer.h"
#include "impact/tensors/torch_samples.h"

#include "impact/base/error.h"

#include <algorithm>
#include <optional>
#include <sstream>

namespace impact
{
namespace
{

// On a device, at the first evaluation; with a gradient each channel takes some hundred bytes.
constexpr std::int64_t samplesAtOnce = std::int64_t{ 1 } << 16;

} // namespace

class StaticSimilarity::Implementation
{
public:
  explicit Implementation(const SimilarityInput & input)
    : m_Settings(input.settings)
    , m_Workers(input.workers)
    , m_Times(input.times)
    , m_Random(input.seed)
    , m_Device(deviceOf(input.settings.gpu))
    , m_Engine(input.engine)
    , m_Divisors(m_Settings)
    , m_SamplesAtOnce(samplesAtOnce, m_Device, "sample", input.log)
    , m_Cache(m_Settings.useMixedPrecision ? std::nullopt : FeatureCache::ofEnvironment())
    , m_Writer(input.writer, input.settings.level)
    , m_Log(input.log)
  {
    if (input.deviceGeometry)
    {
      m_Samples.emplace(*input.deviceGeometry, input.moving.grid, m_Device);
    }
    for (std::size_t i = 0; i < m_Settings.fixedModels.size(); ++i)
    {
      named("Fixed", [&] {
        const ModelView view = viewOf(m_Settings.fixedModels[i], input.fixed.grid, Mode::Static);
        m_Settings.fixedModels[i] = view.settings;
        m_FixedModels.push_back(input.models->get(view.settings.path, m_Device, m_Settings.networksAreMixed()));
        const std::size_t first = m_Fixed.size();
        append(m_Fixed, true, i, makeModelInput(view.settings, input.fixed, view.axes, m_Device), true);
        for (std::size_t layer = first; layer < m_Fixed.size(); ++layer)
        {
          const std::int64_t components = m_Settings.layers[layer].pca;
          m_Reductions.push_back(
            components > 0 ? std::optional(PrincipalComponents::fit(m_Fixed[layer].rows, components)) : std::nullopt);
        }
        reduce(m_Fixed, first);
      });
      named("Moving", [&] {
        const ModelView view = viewOf(m_Settings.movingModels[i], input.fixed.grid, Mode::Static);
        m_Settings.movingModels[i] = view.settings;
        m_MovingModels.push_back(input.models->get(view.settings.path, m_Device, m_Settings.networksAreMixed()));
        if (m_Settings.featuresMapUpdateInterval > 0)
        {
          m_WarpedGrids.push_back(inputGrid(view.settings, input.fixed.grid, view.axes));
          m_MovingContexts.push_back(ImageContext::of(input.moving, view.axes, m_Device));
        }
        else
        {
          const std::size_t first = m_Moving.size();
          append(m_Moving, false, i, makeModelInput(view.settings, input.moving, view.axes, m_Device), true);
          reduce(m_Moving, first);
        }
      });
    }
    if (m_WarpedGrids.empty())
    {
      checkChannels();
      m_Writer.layers("Moving", m_Settings.movingModels, m_Moving);
    }
    m_Writer.layers("Fixed", m_Settings.fixedModels, m_Fixed);
  }

  void
  updateMovingFeatures(const std::vector<std::vector<float>> & warped)
  {
    m_Moving.clear();
    for (std::size_t i = 0; i < warped.size(); ++i)
    {
      const Grid &     grid = m_WarpedGrids[i];
      const at::Tensor voxels =
        at::from_blob(const_cast<float *>(warped[i].data()), { grid.size[2], grid.size[1], grid.size[0] }, at::kFloat)
          .to(m_Device);
      const std::size_t first = m_Moving.size();
      named("Moving", [&] { append(m_Moving, false, i, { voxels, grid, m_MovingContexts[i] }, false); });
      reduce(m_Moving, first);
    }
    checkChannels();
    m_Writer.layers("Moving", m_Settings.movingModels, m_Moving);
  }

  const std::vector<Grid> &
  warpedGrids() const
  {
    return m_WarpedGrids;
  }

  DeviceResult
  evaluateOnDevice(const DeviceEvaluation & evaluation, bool withGradient)
  {
    StageTimer mapping(m_Times, Stage::Mapping);
    m_Samples->set(evaluation);
    mapping.stop();
    if (m_Samples->count() == 0)
    {
      return {};
    }
    at::Tensor       ofPoints;
    const at::Tensor value = compare(m_Samples->fixed(), m_Samples->moving(), withGradient ? &ofPoints : nullptr);
    const StageTimer chainRule(m_Times, Stage::ChainRule);
    at::Tensor       sums;
    if (withGradient)
    {
      sums = m_Samples->transform().makeSums();
      m_Samples->addGradients(m_Samples->fixed(), ofPoints, sums);
    }
    return m_Samples->bringDown(value, sums);
  }

  double
  evaluate(const std::vector<double> & fixedPoints,
           const std::vector<double> & movingPoints,
           std::vector<double> *       gradient)
  {
    double value = 0.0;
    onDevice(m_Device, "an evaluation", [&] {
      at::Tensor ofPoints;
      value = compare(toTensor(fixedPoints), toTensor(movingPoints), gradient ? &ofPoints : nullptr).item<double>();
      if (gradient)
      {
        const at::Tensor result = ofPoints.cpu().contiguous();
        gradient->assign(result.data_ptr<double>(), result.data_ptr<double>() + result.numel());
      }
    });
    return value;
  }

  std::string
  describe() const
  {
    std::ostringstream text;
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      text << "  Layer " << i << ": " << m_Fixed[i].rows.size(1) << " channels, fixed " << describe(m_Fixed[i].grid)
           << ", moving " << (i < m_Moving.size() ? describe(m_Moving[i].grid) : "made at the first iteration") << "\n";
    }
    if (m_FromCache > 0)
    {
      text << "  From IMPACT_FEATURE_CACHE: the features of " << m_FromCache << " of "
           << m_FixedModels.size() + m_MovingModels.size() << " images and models\n";
    }
    return text.str();
  }

private:
  /** The value at points, N x 3, on the device. \param gradient null, or receives that of the moving points, N x 3 */
  at::Tensor
  compare(const at::Tensor & fixed, const at::Tensor & moving, at::Tensor * gradient)
  {
    at::Tensor value;
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      const LayerSettings & layer = m_Settings.layers[i];
      const at::Tensor      channels = drawChannels(m_Random, layer, m_Fixed[i].rows.size(1), m_Device);
      StageTimer            sampling(m_Times, Stage::Sampling);
      const at::Tensor      fixedFeatures = sample(m_Fixed[i], fixed, channels, false).values;
      const SampledFeatures sampled = sample(m_Moving[i], moving, channels, gradient != nullptr);
      at::Tensor            movingFeatures = sampled.values;
      sampling.stop();
      StageTimer timer(m_Times, Stage::Distance);

      at::AutoGradMode gradients(gradient != nullptr);
      movingFeatures.set_requires_grad(gradient != nullptr);
      const at::Tensor apart = distance(layer.distance, fixedFeatures, movingFeatures, m_Engine);
      const at::Tensor term = layer.weight * m_Divisors.divided(i, layer.distance, apart, fixed.size(0));
      value = value.defined() ? value + term.detach() : term.detach();
      if (gradient)
      {
        const at::Tensor ofFeatures = torch::autograd::grad({ term }, { movingFeatures })[0];
        timer.stop();
        const StageTimer back(m_Times, Stage::Sampling);
        const at::Tensor ofPoints = pullBackToPoints(m_Moving[i], moving, sampled, ofFeatures, m_Engine);
        *gradient = gradient->defined() ? *gradient + ofPoints : ofPoints;
      }
    }
    return value;
  }

  /** Features at points: on a device as many points at once as memory has room for. */
  SampledFeatures
  sample(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels, bool withGradient)
  {
    if (m_Engine == Engine::Kernels)
    {
      return sampleFeatures(map, points, channels, withGradient, m_Engine);
    }
    std::vector<at::Tensor> values;
    std::vector<at::Tensor> partials;
    m_SamplesAtOnce.run(points.size(0), [&](std::int64_t first, std::int64_t number) {
      const SampledFeatures part =
        sampleFeatures(map, points.narrow(0, first, number), channels, withGradient, m_Engine);
      values.push_back(part.values);
      if (withGradient)
      {
        partials.push_back(part.partials);
      }
    });
    const auto joined = [](const std::vector<at::Tensor> & parts) {
      return parts.size() == 1 ? parts.front() : at::cat(parts);
    };
    return { joined(values), withGradient ? joined(partials) : at::Tensor() };
  }

  static std::string
  describe(const Grid & grid)
  {
    std::ostringstream text;
    text << grid.size[0] << " x " << grid.size[1];
    if (grid.dimension == 3)
    {
      text << " x " << grid.size[2];
    }
    return text.str();
  }

  /** Errors of parameters get the name that the user gave them. */
  template <typename Action>
  void
  named(const std::string & side, const Action & action) const
  {
    try
    {
      action();
    }
    catch (const ParameterError & error)
    {
      throw Error(m_Settings.inWords(error, side));
    }
  }

  /** \param lasting whether other registrations may have the same input */
  void
  append(std::vector<FeatureMap> & maps, bool isFixed, std::size_t number, const ModelInput & input, bool lasting)
  {
    const ModelSettings & settings = (isFixed ? m_Settings.fixedModels : m_Settings.movingModels)[number];
    const Model &         model = *(isFixed ? m_FixedModels : m_MovingModels)[number];
    m_Writer.input(isFixed ? "Fixed" : "Moving", input);
    const auto make = [&] { return makeFeatureMaps(model, settings, input); };
    auto       made =
      m_Cache && lasting ? m_Cache->get(model, settings, input, make) : FeatureCache::Maps{ make(), false, {} };
    if (m_Log && !made.notKept.empty())
    {
      m_Log(made.notKept);
    }
    m_FromCache += made.found ? 1 : 0;
    std::move(made.maps.begin(), made.maps.end(), std::back_inserter(maps));
    if (lasting)
    {
      releaseFreedMemory();
    }
  }

  /** Reduces the maps from a number on, in components and in precision: those of one model, so that no more are whole
   * at a time. */
  void
  reduce(std::vector<FeatureMap> & maps, std::size_t first) const
  {
    for (std::size_t i = first; i < maps.size(); ++i)
    {
      if (m_Reductions[i])
      {
        maps[i].rows = m_Reductions[i]->apply(maps[i].rows);
      }
      if (m_Settings.mapsAreHalf() && !makeHalf(maps[i]) && m_Log)
      {
        m_Log("features of selected layer " + std::to_string(i) +
              " are beyond 65504, the largest number in half precision, and stay in single precision: "
              "UseMixedPrecision \"true\" saves no memory there.");
      }
    }
  }

  void
  checkChannels() const
  {
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      if (m_Fixed[i].rows.size(1) != m_Moving[i].rows.size(1))
      {
        std::size_t model = 0;
        for (std::size_t after = 0; (after += numberOfSelectedLayers(m_Settings.fixedModels[model])) <= i;)
        {
          ++model;
        }
        throw Error("Model files \"" + m_FixedModels[model]->path() + "\" and \"" + m_MovingModels[model]->path() +
                      "\": selected layer " + std::to_string(i) + " has " + std::to_string(m_Fixed[i].rows.size(1)) +
                      " channels for the fixed and " + std::to_string(m_Moving[i].rows.size(1)) +
                      " for the moving image.",
                    "Choose models and LayersMask so that they agree.");
      }
    }
  }

  at::Tensor
  toTensor(const std::vector<double> & points) const
  {
    return at::from_blob(
             const_cast<double *>(points.data()), { static_cast<std::int64_t>(points.size() / 3), 3 }, at::kDouble)
      .to(m_Device);
  }

  LevelSettings            m_Settings;
  std::shared_ptr<Workers> m_Workers;
  StageTimes *             m_Times;
  Random                   m_Random;
  at::Device               m_Device;
  Engine                   m_Engine;
  LossDivisors             m_Divisors;
  Batches                  m_SamplesAtOnce;
  std::vector<FeatureMap>  m_Fixed;
  std::vector<FeatureMap>  m_Moving;

  std::optional<TorchSamples> m_Samples; // where evaluateOnDevice() is to be called

  std::vector<ModelPointer>                       m_FixedModels;
  std::vector<ModelPointer>                       m_MovingModels;
  std::vector<std::optional<PrincipalComponents>> m_Reductions; // one per selected layer
  std::optional<FeatureCache>                     m_Cache;
  std::size_t                                     m_FromCache{ 0 };
  FeatureMapWriter                                m_Writer;
  std::function<void(const std::string &)>        m_Log;

  // Only where the moving features are made anew every few iterations:
  std::vector<Grid>         m_WarpedGrids;
  std::vector<ImageContext> m_MovingContexts;

  friend class StaticSimilarity;
};

StaticSimilarity::StaticSimilarity(const SimilarityInput & input)
{
  const TorchScope scope(input.workers);
  onDevice(deviceOf(input.settings.gpu), "the making of feature maps", [&] {
    m_Implementation = std::make_unique<Implementation>(input);
  });
}

StaticSimilarity::~StaticSimilarity() = default;

bool
StaticSimilarity::runsOnWorkers(const SimilarityInput & input)
{
  const at::Device device = deviceOf(input.settings.gpu);
  if (!device.is_cpu())
  {
    return false;
  }
  const TorchScope scope(input.workers);
  const auto       all = [&](const std::vector<ModelSettings> & models) {
    return std::all_of(models.begin(), models.end(), [&](const ModelSettings & each) {
      const ModelView       view = viewOf(each, input.fixed.grid, Mode::Static);
      const ModelSettings & settings = view.settings;
      const auto            model = input.models->get(settings.path, device, input.settings.networksAreMixed());
      return model->chain(settings.layersMask,
                          settings.dimension,
                          settings.numberOfChannels,
                          ImageContext::directionOf(view.axes, input.fixed.grid.dimension),
                          ChainUse::Images);
    });
  };
  return all(input.settings.fixedModels) && all(input.settings.movingModels);
}

std::vector<Grid>
StaticSimilarity::warpedGrids() const
{
  return m_Implementation->warpedGrids();
}

void
StaticSimilarity::updateMovingFeatures(const std::vector<std::vector<float>> & warped)
{
  const TorchScope scope(m_Implementation->m_Workers);
  onDevice(
    m_Implementation->m_Device, "the making of feature maps", [&] { m_Implementation->updateMovingFeatures(warped); });
}

DeviceResult
StaticSimilarity::evaluateOnDevice(const DeviceEvaluation & evaluation, bool withGradient)
{
  const TorchScope scope(m_Implementation->m_Workers);
  DeviceResult     result;
  onDevice(m_Implementation->m_Device, "an evaluation", [&] {
    result = m_Implementation->evaluateOnDevice(evaluation, withGradient);
  });
  return result;
}

double
StaticSimilarity::evaluate(const std::vector<double> & fixedPoints,
                           const std::vector<double> & movingPoints,
                           std::vector<double> *       gradient)
{
  const TorchScope scope(m_Implementation->m_Workers);
  return m_Implementation->evaluate(fixedPoints, movingPoints, gradient);
}

std::string
StaticSimilarity::describe() const
{
  return m_Implementation->describe();
}

} // namespace impact
