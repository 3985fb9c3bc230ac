#include "channels.h"
#include "distance.h"
#include "feature_map.h"
#include "principal_components.h"
#include "similarity.h"
#include "torch_scope.h"

#include "error.h"

#include <sstream>

namespace impact
{

class StaticSimilarity::Implementation
{
public:
  explicit Implementation(const SimilarityInput & input)
    : m_Settings(input.settings)
    , m_NumberOfThreads(input.numberOfThreads)
    , m_Random(input.seed)
    , m_Device(deviceOf(input.settings.gpu))
  {
    const Matrix & axes = input.fixed.grid.direction;
    for (std::size_t i = 0; i < m_Settings.fixedModels.size(); ++i)
    {
      append(m_Fixed,
             *input.models->get(m_Settings.fixedModels[i].path, m_Device),
             m_Settings.fixedModels[i],
             input.fixed,
             axes);
      append(m_Moving,
             *input.models->get(m_Settings.movingModels[i].path, m_Device),
             m_Settings.movingModels[i],
             input.moving,
             axes);
    }
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      if (m_Fixed[i].rows.size(1) != m_Moving[i].rows.size(1))
      {
        throw Error("Selected layer " + std::to_string(i) + " has " + std::to_string(m_Fixed[i].rows.size(1)) +
                    " channels for the fixed and " + std::to_string(m_Moving[i].rows.size(1)) +
                    " for the moving image. Choose models and LayersMask so that they agree.");
      }
      if (const std::int64_t components = m_Settings.layers[i].pca; components > 0)
      {
        const auto reduction = PrincipalComponents::fit(m_Fixed[i].rows, components);
        m_Fixed[i].rows = reduction.apply(m_Fixed[i].rows);
        m_Moving[i].rows = reduction.apply(m_Moving[i].rows);
      }
    }
  }

  double
  evaluate(const std::vector<double> & fixedPoints,
           const std::vector<double> & movingPoints,
           std::vector<double> *       gradient)
  {
    const at::Tensor fixed = toTensor(fixedPoints);
    at::Tensor       moving = toTensor(movingPoints);
    at::AutoGradMode gradients(gradient != nullptr);
    moving.set_requires_grad(gradient != nullptr);

    at::Tensor total = at::zeros({}, at::dtype(at::kDouble).device(m_Device));
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      const LayerSettings & layer = m_Settings.layers[i];
      const at::Tensor      channels = drawChannels(m_Random, layer, m_Fixed[i].rows.size(1), m_Device);
      total = total + layer.weight * distance(layer.distance,
                                              sampleFeatures(m_Fixed[i], fixed, channels),
                                              sampleFeatures(m_Moving[i], moving, channels));
    }
    if (gradient && !total.requires_grad()) // maps of one voxel, which is the same everywhere
    {
      gradient->assign(movingPoints.size(), 0.0);
    }
    else if (gradient)
    {
      const at::Tensor result = torch::autograd::grad({ total }, { moving })[0].cpu().contiguous();
      gradient->assign(result.data_ptr<double>(), result.data_ptr<double>() + result.numel());
    }
    return total.item<double>();
  }

  std::string
  describe() const
  {
    std::ostringstream text;
    for (std::size_t i = 0; i < m_Fixed.size(); ++i)
    {
      text << "  Layer " << i << ": " << m_Fixed[i].rows.size(1) << " channels, fixed " << describe(m_Fixed[i].grid)
           << ", moving " << describe(m_Moving[i].grid) << "\n";
    }
    return text.str();
  }

private:
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

  void
  append(std::vector<FeatureMap> & maps,
         const Model &             model,
         const ModelSettings &     settings,
         const ImageView &         image,
         const Matrix &            axes)
  {
    for (FeatureMap & map : makeFeatureMaps(model, settings, image, axes, m_Device))
    {
      maps.push_back(std::move(map));
    }
  }

  at::Tensor
  toTensor(const std::vector<double> & points) const
  {
    return at::from_blob(
             const_cast<double *>(points.data()), { static_cast<std::int64_t>(points.size() / 3), 3 }, at::kDouble)
      .to(m_Device);
  }

  LevelSettings           m_Settings;
  int                     m_NumberOfThreads;
  Random                  m_Random;
  at::Device              m_Device;
  std::vector<FeatureMap> m_Fixed;
  std::vector<FeatureMap> m_Moving;

  friend class StaticSimilarity;
};

StaticSimilarity::StaticSimilarity(const SimilarityInput & input)
{
  const TorchScope scope(input.numberOfThreads);
  m_Implementation = std::make_unique<Implementation>(input);
}

StaticSimilarity::~StaticSimilarity() = default;

double
StaticSimilarity::evaluate(const std::vector<double> & fixedPoints,
                           const std::vector<double> & movingPoints,
                           std::vector<double> *       gradient)
{
  const TorchScope scope(m_Implementation->m_NumberOfThreads);
  return m_Implementation->evaluate(fixedPoints, movingPoints, gradient);
}

std::string
StaticSimilarity::describe() const
{
  return m_Implementation->describe();
}

} // namespace impact
