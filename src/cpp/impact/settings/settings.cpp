#include "impact/settings/settings.h"

#include "impact/base/error.h"
#include "impact/base/finding.h"

#include <algorithm>
#include <sstream>

namespace impact
{

std::string
toString(Mode mode)
{
  return mode == Mode::Static ? "Static" : "Jacobian";
}

std::string
toString(Distance distance)
{
  switch (distance)
  {
    case Distance::L1:
      return "L1";
    case Distance::L2:
      return "L2";
    case Distance::Cosine:
      return "Cosine";
    case Distance::L1Cosine:
      return "L1Cosine";
    case Distance::Dice:
      return "Dice";
    case Distance::NCC:
      return "NCC";
    case Distance::DotProduct:
      return "DotProduct";
  }
  return "?";
}

std::string
toString(FeatureNormalization normalization)
{
  switch (normalization)
  {
    case FeatureNormalization::None:
      return "none";
    case FeatureNormalization::L2:
      return "l2";
    case FeatureNormalization::Standardized:
      return "standardized";
  }
  return "?";
}

namespace
{

/** The one of that name, or none. */
template <typename Choices>
std::optional<typename Choices::value_type>
choiceOf(const Choices & choices, const std::string & name)
{
  const auto found =
    std::find_if(choices.begin(), choices.end(), [&name](auto choice) { return name == toString(choice); });
  return found == choices.end() ? std::nullopt : std::optional(*found);
}

template <typename Choices>
std::string
namesOfChoices(const Choices & choices)
{
  std::string names;
  for (const auto choice : choices)
  {
    names += (names.empty() ? "\"" : ", \"") + toString(choice) + "\"";
  }
  return names;
}

} // namespace

std::optional<Distance>
toDistance(const std::string & name)
{
  return choiceOf(allDistances, name);
}

std::string
namesOfDistances()
{
  return namesOfChoices(allDistances);
}

std::optional<FeatureNormalization>
toFeatureNormalization(const std::string & name)
{
  return choiceOf(allFeatureNormalizations, name);
}

std::string
namesOfFeatureNormalizations()
{
  return namesOfChoices(allFeatureNormalizations);
}

std::size_t
numberOfSelectedLayers(const ModelSettings & model)
{
  return static_cast<std::size_t>(std::count(model.layersMask.begin(), model.layersMask.end(), true));
}

std::size_t
numberOfSelectedLayers(const std::vector<ModelSettings> & models)
{
  std::size_t count = 0;
  for (const ModelSettings & model : models)
  {
    count += numberOfSelectedLayers(model);
  }
  return count;
}

std::string
LevelSettings::nameOf(const std::string & parameter) const
{
  const auto found = names.find(parameter);
  if (found != names.end())
  {
    return found->second;
  }
  for (const std::string side : { "Fixed", "Moving" })
  {
    if (parameter.compare(0, side.size(), side) == 0)
    {
      return nameOf(parameter.substr(side.size()));
    }
  }
  return parameter;
}

Problem
LevelSettings::inWords(const ParameterError & error, const std::string & side) const
{
  Problem       problem = error.problem();
  const Finding finding{ problem, Finding::Severity::Error, nameOf(side + error.parameter()), { level } };
  problem.text = finding.front() + problem.text;
  return problem;
}

namespace
{

template <typename T>
std::string
joined(const std::vector<T> & values)
{
  std::ostringstream text;
  for (std::size_t i = 0; i < values.size(); ++i)
  {
    text << (i ? "*" : "") << values[i];
  }
  return text.str();
}

template <typename T>
std::string
asText(const T & value)
{
  std::ostringstream text;
  text << value;
  return text.str();
}

/** Without the zeros that stand for an axis on which the image's own spacing is kept. */
std::string
describeVoxelSize(std::vector<double> voxelSize)
{
  while (!voxelSize.empty() && voxelSize.back() == 0.0)
  {
    voxelSize.pop_back();
  }
  return joined(voxelSize);
}

std::string
describeMask(const std::vector<bool> & mask)
{
  std::string text;
  for (const bool selected : mask)
  {
    text += selected ? '1' : '0';
  }
  return text;
}

using Row = std::vector<std::string>;

/** \param normalized whether the table has the normalisation of features */
Row
describeModel(const std::string & number, const std::string & image, const ModelSettings & model, bool normalized)
{
  Row row{ number,
           image,
           asText(model.dimension),
           asText(model.numberOfChannels),
           joined(model.patchSize),
           describeVoxelSize(model.voxelSize),
           describeMask(model.layersMask) };
  if (normalized)
  {
    row.push_back(toString(model.featureNormalization));
  }
  row.push_back(model.path);
  return row;
}

bool
normalizesFeatures(const std::vector<ModelSettings> & models)
{
  return std::any_of(models.begin(), models.end(), [](const ModelSettings & model) {
    return model.featureNormalization != FeatureNormalization::None;
  });
}

/** Rows of cells, the first the headings, as lines in columns. */
std::string
table(const std::vector<Row> & rows)
{
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row & row : rows)
  {
    for (std::size_t i = 0; i < row.size(); ++i)
    {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const Row & row : rows)
  {
    std::string line = " ";
    for (std::size_t i = 0; i < row.size(); ++i)
    {
      line += " " + row[i] + (i + 1 < row.size() ? std::string(widths[i] - row[i].size() + 1, ' ') : "");
    }
    text += line + "\n";
  }
  return text;
}

} // namespace

std::string
describe(const LevelSettings & settings)
{
  std::string text = "  Mode " + toString(settings.mode) + ", " +
                     (settings.gpu < 0 ? std::string("on the CPU") : "GPU " + std::to_string(settings.gpu)) +
                     (settings.useMixedPrecision ? ", UseMixedPrecision true" : "") +
                     (settings.normalizeLosses ? ", NormalizeLosses true" : "");
  if (settings.mutualInformationWeight > 0.0)
  {
    text += ", MutualInformationWeight " + asText(settings.mutualInformationWeight);
  }
  if (settings.bendingEnergyWeight > 0.0)
  {
    text += ", BendingEnergyWeight " + asText(settings.bendingEnergyWeight);
    if (settings.bendingEnergyLimit > 0.0)
    {
      text += ", BendingEnergyLimit " + asText(settings.bendingEnergyLimit);
    }
  }
  if (settings.featuresMapUpdateInterval > 0)
  {
    text += ", FeaturesMapUpdateInterval " + std::to_string(settings.featuresMapUpdateInterval);
  }
  if (!settings.featureMapsFolder.empty())
  {
    text += ", WriteFeatureMaps \"" + settings.featureMapsFolder + "\"";
  }
  const bool       normalized = normalizesFeatures(settings.fixedModels) || normalizesFeatures(settings.movingModels);
  std::vector<Row> models{
    { "Model", "Image", "Dimension", "NumberOfChannels", "PatchSize", "VoxelSize", "LayersMask", "ModelsPath" }
  };
  if (normalized)
  {
    models.front().insert(models.front().end() - 1, "FeatureNormalization");
  }
  std::vector<Row> layers{ { "Layer", "Model", "Distance", "LayersWeight", "PCA", "SubsetFeatures" } };
  for (std::size_t i = 0; i < std::min(settings.fixedModels.size(), settings.movingModels.size()); ++i)
  {
    const std::string number = std::to_string(i);
    const Row         fixed = describeModel(number, "fixed", settings.fixedModels[i], normalized);
    const Row         moving = describeModel(number, "moving", settings.movingModels[i], normalized);
    if (std::equal(fixed.begin() + 2, fixed.end(), moving.begin() + 2))
    {
      models.push_back(describeModel(number, "both", settings.fixedModels[i], normalized));
    }
    else
    {
      models.push_back(fixed);
      models.push_back(moving);
    }
    for (std::size_t n = numberOfSelectedLayers(settings.fixedModels[i]);
         n > 0 && layers.size() <= settings.layers.size();
         --n)
    {
      const LayerSettings & layer = settings.layers[layers.size() - 1];
      layers.push_back({ std::to_string(layers.size() - 1),
                         number,
                         toString(layer.distance),
                         asText(layer.weight),
                         asText(layer.pca),
                         layer.subsetFeatures > 0 ? asText(layer.subsetFeatures) : "all" });
    }
  }
  return text + "\n" + table(models) + table(layers);
}

std::string
noteOnLosses(const std::vector<LevelSettings> & levels)
{
  const bool isOpen = std::any_of(levels.begin(), levels.end(), [](const LevelSettings & level) {
    return level.layers.size() > 1 && level.names.count("NormalizeLosses") == 0;
  });
  return isOpen
           ? "several layers are weighed, and the map has no NormalizeLosses: their distances are added up as they "
             "are. Newer Impact components divide each by its first value where a map does not say; "
             "(ImpactNormalizeLosses \"true\") does so here."
           : "";
}

} // namespace impact
