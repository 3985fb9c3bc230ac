#include "impact/api/similarity.h"
#include "impact/base/error.h"
#include "impact/compare/channels.h"
#include "impact/compare/distance.h"
#include "impact/compare/feature_normalization.h"
#include "impact/compare/loss_divisors.h"
#include "impact/compare/principal_components.h"
#include "impact/compare/sample_distances.h"
#include "impact/models/model_view.h"
#include "impact/patches/patch_model.h"
#include "impact/runtime/torch_scope.h"
#include "impact/tensors/torch_patches.h"

#include <algorithm>
#include <map>
#include <optional>

namespace impact
{
namespace
{

/** The planes in which a model can see an image, as pairs of image axes; one, of all axes, where it sees it whole. */
std::vector<std::vector<int>>
planesOf(int modelDimension, int imageDimension)
{
  if (modelDimension == imageDimension)
  {
    return modelDimension == 2 ? std::vector<std::vector<int>>{ { 0, 1 } }
                               : std::vector<std::vector<int>>{ { 0, 1, 2 } };
  }
  return { { 0, 1 }, { 0, 2 }, { 1, 2 } };
}

} // namespace

class PatchSimilarity::Implementation
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
  {
    if (input.deviceGeometry)
    {
      m_Samples.emplace(*input.deviceGeometry, input.moving.grid, m_Device);
      m_Patches.emplace(input.fixed, input.moving, m_Device, input.log);
    }
    for (std::size_t i = 0; i < m_Settings.fixedModels.size(); ++i)
    {
      const ModelView fixed = viewOf(m_Settings.fixedModels[i], input.fixed.grid, Mode::Jacobian);
      const ModelView moving = viewOf(m_Settings.movingModels[i], input.fixed.grid, Mode::Jacobian);
      const auto      modelFor = [&](const ModelView & view, const ImageView & image) {
        return PatchModel(input.models->get(view.settings.path, m_Device, m_Settings.networksAreMixed()),
                          view.settings,
                          image,
                          view.axes,
                          m_Device,
                          input.log);
      };
      Pair pair{ modelFor(fixed, input.fixed),
                 modelFor(moving, input.moving),
                 fixed.settings.featureNormalization,
                 moving.settings.featureNormalization,
                 {},
                 {},
                 {},
                 {} };
      if (pair.fixed.numbersOfChannels() != pair.moving.numbersOfChannels())
      {
        throw Error("Models \"" + fixed.settings.path + "\" and \"" + moving.settings.path +
                      "\": the selected layers of the fixed and the moving model differ in their numbers of channels.",
                    "Choose models and LayersMask so that they agree.");
      }
      for (const auto & plane : planesOf(fixed.settings.dimension, input.fixed.grid.dimension))
      {
        pair.fixedOffsets.push_back(pair.fixed.offsets(fixed.axes, plane));
        pair.movingOffsets.push_back(pair.moving.offsets(moving.axes, plane));
      }
      if (m_Patches)
      {
        pair.fixedOnDevice = m_Patches->upload(pair.fixedOffsets);
        pair.movingOnDevice = m_Patches->upload(pair.movingOffsets);
      }
      m_Pairs.push_back(std::move(pair));
    }
  }

  struct Pair
  {
    PatchModel                       fixed;
    PatchModel                       moving;
    FeatureNormalization             ofFixed; // before everything else
    FeatureNormalization             ofMoving;
    std::vector<std::vector<Vector>> fixedOffsets; // one per plane
    std::vector<std::vector<Vector>> movingOffsets;
    TorchPatches::Offsets            fixedOnDevice; // where evaluateOnDevice() is to be called
    TorchPatches::Offsets            movingOnDevice;
  };

  Placement
  draw(std::size_t numberOfSamples)
  {
    std::vector<Placement::OfModel> models;
    for (const Pair & pair : m_Pairs)
    {
      std::vector<std::size_t> planeOfSample(numberOfSamples, 0);
      const auto               planes = static_cast<std::int64_t>(pair.fixedOffsets.size());
      for (std::size_t s = 0; planes > 1 && s < numberOfSamples; ++s)
      {
        planeOfSample[s] = static_cast<std::size_t>(m_Random.below(planes));
      }
      models.push_back({ &pair.fixedOffsets, &pair.movingOffsets, std::move(planeOfSample) });
    }
    return Placement(std::move(models));
  }

  void
  tryModels(const Patches & fixed, const Patches & moving) const
  {
    for (std::size_t i = 0; i < m_Pairs.size(); ++i)
    {
      const auto & [fixedModel, movingModel] = std::tie(m_Pairs[i].fixed, m_Pairs[i].moving);
      for (const auto & [model, patches] : { std::pair(&fixedModel, &fixed[i]), std::pair(&movingModel, &moving[i]) })
      {
        checkFinite(model->features(toTensor(*patches, model->voxelsPerPatch()), nullptr), model->path(), nullptr);
      }
    }
  }

  double
  evaluate(const Patches & fixed, const Patches & moving, Patches * gradient)
  {
    if (gradient)
    {
      gradient->assign(m_Pairs.size(), {});
    }
    double value = 0.0;
    onDevice(m_Device, "an evaluation", [&] {
      std::size_t firstLayer = 0;
      for (std::size_t i = 0; i < m_Pairs.size(); ++i)
      {
        Pair &     pair = m_Pairs[i];
        at::Tensor ofIntensities;
        value += evaluatePair(pair,
                              firstLayer,
                              toTensor(fixed[i], pair.fixed.voxelsPerPatch()),
                              toTensor(moving[i], pair.moving.voxelsPerPatch()),
                              gradient ? &ofIntensities : nullptr,
                              nullptr)
                   .item<double>();
        if (gradient)
        {
          const at::Tensor result = ofIntensities.cpu().contiguous();
          (*gradient)[i].assign(result.data_ptr<float>(), result.data_ptr<float>() + result.numel());
        }
        firstLayer += pair.fixed.numbersOfChannels().size();
      }
    });
    return value;
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
    const Placement         placement = draw(static_cast<std::size_t>(m_Samples->count()));
    at::Tensor              value;
    at::Tensor              sums = withGradient ? m_Samples->transform().makeSums() : at::Tensor();
    std::vector<at::Tensor> finite; // whether, of each model; asked of the device at the end
    std::size_t             firstLayer = 0;
    for (std::size_t i = 0; i < m_Pairs.size(); ++i)
    {
      Pair &     pair = m_Pairs[i];
      StageTimer sampling(m_Times, Stage::Sampling);
      if (pair.fixedOffsets.size() > 1)
      {
        pair.fixedOnDevice.planes = m_Patches->uploadPlanes(placement.planeOfSample(i));
        pair.movingOnDevice.planes = pair.fixedOnDevice.planes;
      }
      const at::Tensor fixed = m_Patches->fixed(*m_Samples, pair.fixedOnDevice);
      const auto       moving = m_Patches->moving(*m_Samples, pair.movingOnDevice, withGradient);
      sampling.stop();
      at::Tensor       ofIntensities;
      const at::Tensor term =
        evaluatePair(pair, firstLayer, fixed, moving.intensities, withGradient ? &ofIntensities : nullptr, &finite);
      value = value.defined() ? value + term : term;
      if (withGradient)
      {
        const StageTimer chainRule(m_Times, Stage::ChainRule);
        m_Patches->addGradients(*m_Samples, pair.movingOnDevice, moving, ofIntensities, sums);
      }
      firstLayer += pair.fixed.numbersOfChannels().size();
    }
    return m_Samples->bringDown(value, sums, at::stack(finite), [this](const double * areFinite) {
      for (std::size_t i = 0; i < 2 * m_Pairs.size(); ++i)
      {
        if (areFinite[i] == 0.0)
        {
          const Pair & pair = m_Pairs[i / 2];
          throw featuresNotFinite(i % 2 == 0 ? pair.fixed.path() : pair.moving.path());
        }
      }
    });
  }

  const Pair &
  pair(std::size_t model) const
  {
    return m_Pairs[model];
  }

  std::size_t
  size() const
  {
    return m_Pairs.size();
  }

  at::Device
  device() const
  {
    return m_Device;
  }

  const std::shared_ptr<Workers> &
  workers() const
  {
    return m_Workers;
  }

private:
  at::Tensor
  toTensor(const std::vector<float> & patches, std::int64_t voxelsPerPatch) const
  {
    const auto count = static_cast<std::int64_t>(patches.size()) / voxelsPerPatch;
    return at::from_blob(const_cast<float *>(patches.data()), { count, voxelsPerPatch }, at::kFloat).to(m_Device);
  }

  /** \param later null: throws here; otherwise receives whether they are finite, for the device not to be waited for */
  static void
  checkFinite(const std::vector<at::Tensor> & features, const std::string & path, std::vector<at::Tensor> * later)
  {
    if (later)
    {
      at::Tensor all;
      for (const at::Tensor & layer : features)
      {
        const at::Tensor finite = at::isfinite(layer).all();
        all = all.defined() ? all.logical_and(finite) : finite;
      }
      later->push_back(all);
      return;
    }
    for (const at::Tensor & layer : features)
    {
      if (!allFinite(layer))
      {
        throw featuresNotFinite(path);
      }
    }
  }

  /** The value for patches on the device.
   *
   * \param gradient null, or receives that of the moving patches
   * \param finite   see checkFinite() */
  at::Tensor
  evaluatePair(Pair &                    pair,
               std::size_t               firstLayer,
               const at::Tensor &        fixed,
               const at::Tensor &        moving,
               at::Tensor *              gradient,
               std::vector<at::Tensor> * finite)
  {
    StageTimer network(m_Times, Stage::Network);
    const auto fixedFeatures = pair.fixed.features(fixed, nullptr);
    auto       movingFeatures = pair.moving.features(moving, gradient ? &m_Tape : nullptr);

    checkFinite(fixedFeatures, pair.fixed.path(), finite);
    checkFinite(movingFeatures, pair.moving.path(), finite);

    network.stop();

    // The distances see all samples at once.
    StageTimer timer(m_Times, Stage::Distance);
    at::Tensor total = at::zeros({}, at::dtype(at::kDouble).device(m_Device));
    {
      at::AutoGradMode gradients(gradient != nullptr);
      for (std::size_t i = 0; i < fixedFeatures.size(); ++i)
      {
        const LayerSettings & layer = m_Settings.layers[firstLayer + i];
        movingFeatures[i].set_requires_grad(gradient != nullptr);
        const at::Tensor ofFixed = normalized(pair.ofFixed, fixedFeatures[i], m_Engine);
        const at::Tensor ofMoving = normalized(pair.ofMoving, movingFeatures[i], m_Engine);
        const at::Tensor f = reduced(firstLayer + i, ofFixed, ofFixed);
        const at::Tensor m = reduced(firstLayer + i, ofFixed, ofMoving);
        const at::Tensor channels = drawChannels(m_Random, layer, f.size(1), m_Device);
        const at::Tensor apart = distance(layer.distance, columns(f, channels), columns(m, channels), m_Engine);
        total = total + layer.weight * m_Divisors.divided(firstLayer + i, layer.distance, apart, f.size(0));
      }
    }
    if (gradient)
    {
      const auto featureGradients = torch::autograd::grad({ total }, movingFeatures);
      timer.stop();
      const StageTimer back(m_Times, Stage::Network);
      *gradient = pair.moving.pullBackToIntensities(moving, m_Tape, featureGradients);
      if (!finite && !allFinite(*gradient))
      {
        throw ModelError(
          pair.moving.path(),
          " has a derivative that is infinite or not a number, though its features are numbers.",
          "Check what it does with equal intensities: roots, norms and quotients want a small number beside zero.");
      }
    }
    return total.detach();
  }

  /** The features in the principal components of the layer, fitted on the fixed features of the level's first
   * evaluation; as they are where the layer has no reduction. */
  at::Tensor
  reduced(std::size_t layer, const at::Tensor & fixedFeatures, const at::Tensor & features)
  {
    const std::int64_t components = m_Settings.layers[layer].pca;
    if (components == 0)
    {
      return features;
    }
    auto & reduction = m_Reductions[layer];
    if (!reduction)
    {
      reduction = PrincipalComponents::fit(fixedFeatures, components);
    }
    return reduction->apply(features);
  }

  LevelSettings            m_Settings;
  std::shared_ptr<Workers> m_Workers;
  StageTimes *             m_Times;
  Random                   m_Random;
  at::Device               m_Device;
  Engine                   m_Engine;
  LossDivisors             m_Divisors;
  std::vector<Pair>        m_Pairs;

  // Where evaluateOnDevice() is to be called:
  std::optional<TorchSamples> m_Samples;
  std::optional<TorchPatches> m_Patches;

  PatchModel::Tape                                          m_Tape;
  std::map<std::size_t, std::optional<PrincipalComponents>> m_Reductions;
};

PatchSimilarity::PatchSimilarity(const SimilarityInput & input)
{
  const TorchScope scope(input.workers);
  onDevice(deviceOf(input.settings.gpu), "the first run of the networks", [&] {
    m_Implementation = std::make_unique<Implementation>(input);
  });
}

PatchSimilarity::~PatchSimilarity() = default;

std::size_t
PatchSimilarity::numberOfModels() const
{
  return m_Implementation->size();
}

std::string
PatchSimilarity::describe() const
{
  std::string text;
  for (std::size_t model = 0; model < m_Implementation->size(); ++model)
  {
    const auto &      pair = m_Implementation->pair(model);
    const std::string fixed = pair.fixed.describe();
    const std::string moving = pair.moving.describe();
    text += fixed + (moving == fixed ? std::string() : moving);
  }
  return text;
}

PatchSimilarity::Placement
PatchSimilarity::draw(std::size_t numberOfSamples)
{
  return m_Implementation->draw(numberOfSamples);
}

void
PatchSimilarity::tryModels(const Patches & fixed, const Patches & moving)
{
  const TorchScope scope(m_Implementation->workers());
  onDevice(
    m_Implementation->device(), "the first run of the networks", [&] { m_Implementation->tryModels(fixed, moving); });
}

DeviceResult
PatchSimilarity::evaluateOnDevice(const DeviceEvaluation & evaluation, bool withGradient)
{
  const TorchScope scope(m_Implementation->workers());
  DeviceResult     result;
  onDevice(m_Implementation->device(), "an evaluation", [&] {
    result = m_Implementation->evaluateOnDevice(evaluation, withGradient);
  });
  return result;
}

double
PatchSimilarity::evaluate(const Patches & fixed, const Patches & moving, Patches * gradient)
{
  const TorchScope scope(m_Implementation->workers());
  return m_Implementation->evaluate(fixed, moving, gradient);
}

} // namespace impact
