#include "channels.h"
#include "distance.h"
#include "error.h"
#include "model_view.h"
#include "patch_model.h"
#include "principal_components.h"
#include "sample_distances.h"
#include "similarity.h"
#include "torch_scope.h"

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
  {
    for (std::size_t i = 0; i < m_Settings.fixedModels.size(); ++i)
    {
      const ModelView fixed = viewOf(m_Settings.fixedModels[i], input.fixed.grid, Mode::Jacobian);
      const ModelView moving = viewOf(m_Settings.movingModels[i], input.fixed.grid, Mode::Jacobian);
      const auto      modelFor = [&](const ModelView & view, const ImageView & image) {
        return PatchModel(input.models->get(view.settings.path, m_Device, m_Settings.useMixedPrecision),
                          view.settings,
                          image,
                          view.axes,
                          m_Device);
      };
      Pair pair{ modelFor(fixed, input.fixed), modelFor(moving, input.moving), {}, {}, {} };
      if (pair.fixed.numbersOfChannels() != pair.moving.numbersOfChannels())
      {
        throw Error("Models \"" + fixed.settings.path + "\" and \"" + moving.settings.path +
                    "\": the selected layers of the fixed and the moving model differ in their numbers of channels. "
                    "Choose models and LayersMask so that they agree.");
      }
      for (const auto & plane : planesOf(fixed.settings.dimension, input.fixed.grid.dimension))
      {
        pair.fixedOffsets.push_back(pair.fixed.offsets(fixed.axes, plane));
        pair.movingOffsets.push_back(pair.moving.offsets(moving.axes, plane));
      }
      m_Pairs.push_back(std::move(pair));
    }
  }

  struct Pair
  {
    PatchModel                       fixed;
    PatchModel                       moving;
    std::vector<std::vector<Vector>> fixedOffsets; // one per plane
    std::vector<std::vector<Vector>> movingOffsets;
    std::vector<std::size_t>         planeOfSample;
  };

  void
  draw(std::size_t numberOfSamples)
  {
    for (Pair & pair : m_Pairs)
    {
      pair.planeOfSample.assign(numberOfSamples, 0);
      const auto planes = static_cast<std::int64_t>(pair.fixedOffsets.size());
      for (std::size_t s = 0; planes > 1 && s < numberOfSamples; ++s)
      {
        pair.planeOfSample[s] = static_cast<std::size_t>(m_Random.below(planes));
      }
    }
  }

  void
  tryModels(const Patches & fixed, const Patches & moving) const
  {
    for (std::size_t i = 0; i < m_Pairs.size(); ++i)
    {
      const auto & [fixedModel, movingModel] = std::tie(m_Pairs[i].fixed, m_Pairs[i].moving);
      for (const auto & [model, patches] : { std::pair(&fixedModel, &fixed[i]), std::pair(&movingModel, &moving[i]) })
      {
        checkFinite(model->features(toTensor(*patches, model->voxelsPerPatch()), nullptr), model->path());
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
    double      value = 0.0;
    std::size_t firstLayer = 0;
    for (std::size_t i = 0; i < m_Pairs.size(); ++i)
    {
      value += evaluatePair(m_Pairs[i], firstLayer, fixed[i], moving[i], gradient ? &(*gradient)[i] : nullptr);
      firstLayer += m_Pairs[i].fixed.numbersOfChannels().size();
    }
    return value;
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

  const std::shared_ptr<Workers> &
  workers() const
  {
    return m_Workers;
  }

  /** Whether torch has next to nothing to do in an evaluation. */
  bool
  runsByKernels() const
  {
    const auto byKernels = [](const Pair & pair) { return pair.fixed.runsByKernels() && pair.moving.runsByKernels(); };
    const auto bySample = [](const LayerSettings & layer) { return layer.pca == 0 && isBySample(layer.distance); };
    return std::all_of(m_Pairs.begin(), m_Pairs.end(), byKernels) &&
           std::all_of(m_Settings.layers.begin(), m_Settings.layers.end(), bySample);
  }

private:
  at::Tensor
  toTensor(const std::vector<float> & patches, std::int64_t voxelsPerPatch) const
  {
    const auto count = static_cast<std::int64_t>(patches.size()) / voxelsPerPatch;
    return at::from_blob(const_cast<float *>(patches.data()), { count, voxelsPerPatch }, at::kFloat).to(m_Device);
  }

  static void
  checkFinite(const std::vector<at::Tensor> & features, const std::string & path)
  {
    for (const at::Tensor & layer : features)
    {
      if (!allFinite(layer))
      {
        throw featuresNotFinite(path);
      }
    }
  }

  double
  evaluatePair(Pair &                     pair,
               std::size_t                firstLayer,
               const std::vector<float> & fixedPatches,
               const std::vector<float> & movingPatches,
               std::vector<float> *       gradient)
  {
    const at::Tensor fixed = toTensor(fixedPatches, pair.fixed.voxelsPerPatch());
    const at::Tensor moving = toTensor(movingPatches, pair.moving.voxelsPerPatch());
    StageTimer       network(m_Times, Stage::Network);
    const auto       fixedFeatures = pair.fixed.features(fixed, nullptr);
    auto             movingFeatures = pair.moving.features(moving, gradient ? &m_Passed : nullptr);

    checkFinite(fixedFeatures, pair.fixed.path());
    checkFinite(movingFeatures, pair.moving.path());

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
        const at::Tensor f = reduced(firstLayer + i, fixedFeatures[i], fixedFeatures[i]);
        const at::Tensor m = reduced(firstLayer + i, fixedFeatures[i], movingFeatures[i]);
        const at::Tensor channels = drawChannels(m_Random, layer, f.size(1), m_Device);
        total = total + layer.weight * distance(layer.distance, columns(f, channels), columns(m, channels));
      }
    }
    if (gradient)
    {
      const auto featureGradients = torch::autograd::grad({ total }, movingFeatures);
      timer.stop();
      const StageTimer back(m_Times, Stage::Network);
      const at::Tensor result = pair.moving.pullBack(moving, m_Passed, featureGradients).cpu().contiguous();
      gradient->assign(result.data_ptr<float>(), result.data_ptr<float>() + result.numel());
    }
    return total.item<double>();
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
  std::vector<Pair>        m_Pairs;

  PatchModel::Passed                                        m_Passed;
  std::map<std::size_t, std::optional<PrincipalComponents>> m_Reductions;
};

PatchSimilarity::PatchSimilarity(const SimilarityInput & input)
{
  const TorchScope scope(input.workers);
  m_Implementation = std::make_unique<Implementation>(input);
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

void
PatchSimilarity::draw(std::size_t numberOfSamples)
{
  m_Implementation->draw(numberOfSamples);
}

const std::vector<Vector> &
PatchSimilarity::fixedOffsets(std::size_t model, std::size_t sample) const
{
  const auto & pair = m_Implementation->pair(model);
  return pair.fixedOffsets[pair.planeOfSample[sample]];
}

const std::vector<Vector> &
PatchSimilarity::movingOffsets(std::size_t model, std::size_t sample) const
{
  const auto & pair = m_Implementation->pair(model);
  return pair.movingOffsets[pair.planeOfSample[sample]];
}

void
PatchSimilarity::tryModels(const Patches & fixed, const Patches & moving)
{
  const TorchScope scope(m_Implementation->workers());
  m_Implementation->tryModels(fixed, moving);
}

double
PatchSimilarity::evaluate(const Patches & fixed, const Patches & moving, Patches * gradient)
{
  const bool       byKernels = m_Implementation->runsByKernels();
  const TorchScope scope(m_Implementation->workers(), byKernels ? TorchThreads::One : TorchThreads::AsWorkers);
  return m_Implementation->evaluate(fixed, moving, gradient);
}

} // namespace impact
