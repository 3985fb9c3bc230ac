#include "impact/settings/settings_parser.h"

#include "impact/settings/doubtful_parameters.h"
#include "impact/settings/level_context.h"
#include "impact/settings/model_parser.h"
#include "impact/settings/unfit_components.h"
#include "impact/settings/values.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

namespace impact
{
namespace
{

/** Reads one level; findings go to the list of all levels. */
class LevelParser
{
public:
  explicit LevelParser(const LevelContext & context)
    : m_Context(context)
  {}

  void
  parse(LevelSettings & settings)
  {
    settings.mode = readMode();
    settings.gpu =
      static_cast<int>(readWholeNumber("GPU", -1, "-1 for the CPU, or the index of a GPU, counted from 0"));
    settings.featuresMapUpdateInterval = static_cast<int>(
      readWholeNumber("FeaturesMapUpdateInterval",
                      -1,
                      "-1, to make the features once per level, or the number of iterations after which those of the "
                      "moving image are made anew"));
    settings.featureMapsFolder = readFolder();
    settings.useMixedPrecision = readBoolean("UseMixedPrecision");
    settings.normalizeLosses = readBoolean("NormalizeLosses");
    settings.mutualInformationWeight = readWeight("MutualInformationWeight");
    settings.bendingEnergyWeight = readWeight("BendingEnergyWeight");
    settings.bendingEnergyLimit = readWeight("BendingEnergyLimit");
    warnOfWhatDoesNotApply(settings);
    settings.fixedModels = parseModels(m_Context, "Fixed", settings.mode);
    settings.movingModels = parseModels(m_Context, "Moving", settings.mode);
    checkPairs(settings);
    readLayers(settings);
  }

private:
  void
  checkPairs(const LevelSettings & settings)
  {
    if (settings.fixedModels.empty() || settings.movingModels.empty())
    {
      return; // has been said
    }
    if (settings.fixedModels.size() != settings.movingModels.size())
    {
      m_Context.error(Problem::Kind::Count,
                      settings.nameOf("FixedModelsPath"),
                      "there are " + std::to_string(settings.fixedModels.size()) + " fixed and " +
                        std::to_string(settings.movingModels.size()) + " moving models",
                      "Each fixed model is compared with the moving model of the same place: give as many");
    }
    else if (const auto i = firstPairOfTwoDimensions(settings); i < settings.fixedModels.size())
    {
      m_Context.error(Problem::Kind::Mismatch,
                      settings.nameOf("MovingDimension"),
                      "the fixed model \"" + settings.fixedModels[i].path + "\" has dimension " +
                        std::to_string(settings.fixedModels[i].dimension) + ", its partner \"" +
                        settings.movingModels[i].path + "\" has " + std::to_string(settings.movingModels[i].dimension),
                      "Give both the same");
    }
    else if (numberOfSelectedLayers(settings.fixedModels) != numberOfSelectedLayers(settings.movingModels))
    {
      m_Context.error(
        Problem::Kind::Mismatch,
        settings.nameOf("MovingLayersMask"),
        "the masks of the fixed models select " + std::to_string(numberOfSelectedLayers(settings.fixedModels)) +
          " layers, those of the moving models " + std::to_string(numberOfSelectedLayers(settings.movingModels)),
        "Layers are compared in order: select as many");
    }
  }

  static std::size_t
  firstPairOfTwoDimensions(const LevelSettings & settings)
  {
    std::size_t i = 0;
    while (i < settings.fixedModels.size() && settings.fixedModels[i].dimension == settings.movingModels[i].dimension)
    {
      ++i;
    }
    return i;
  }

  Mode
  readMode()
  {
    const auto entry = level("Mode");
    if (!entry || entry->values.front() == "Jacobian")
    {
      return Mode::Jacobian;
    }
    if (entry->values.front() != "Static")
    {
      m_Context.wrongValue(*entry, entry->values.front(), "\"Static\" or \"Jacobian\"");
    }
    return Mode::Static;
  }

  std::optional<ParameterEntry>
  level(const std::string & name)
  {
    auto entry = m_Context.note(name, m_Context.reader.perLevel(name, m_Context.level));
    if (entry && entry->values.size() > 1)
    {
      m_Context.error(Problem::Kind::Count,
                      entry->name,
                      std::to_string(entry->values.size()) + " values (" + quoted(entry->values) +
                        ") for one resolution level",
                      "Give one");
    }
    return entry;
  }

  /** A whole number from -1 up. */
  std::int64_t
  readWholeNumber(const std::string & name, std::int64_t defaultValue, const std::string & allowed)
  {
    const auto entry = level(name);
    if (!entry)
    {
      return defaultValue;
    }
    const auto value = toNumber<std::int64_t>(entry->values.front());
    if (!value || *value < -1 || *value > std::numeric_limits<int>::max())
    {
      m_Context.wrongValue(*entry, entry->values.front(), allowed);
      return defaultValue;
    }
    return *value;
  }

  /** A number from 0 up; 0 where it is not given. */
  double
  readWeight(const std::string & name)
  {
    const auto entry = level(name);
    if (!entry)
    {
      return 0.0;
    }
    const auto value = toNumber<double>(entry->values.front());
    if (!value || !std::isfinite(*value) || *value < 0.0)
    {
      m_Context.wrongValue(*entry, entry->values.front(), "a number from 0 up; 0: none");
      return 0.0;
    }
    return *value;
  }

  /** The value of WriteFeatureMaps, by its older or its newer name; empty for none. */
  std::string
  readFolder()
  {
    for (const char * const name : { "WriteFeatureMaps", "FeatureMapOutputDirectory" })
    {
      if (const auto entry = level(name))
      {
        m_Context.names["WriteFeatureMaps"] = entry->name;
        const std::string & value = entry->values.front();
        std::string         lower = value;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
        const bool isWord = lower == "true" || lower == "false";
        if (value.find_first_not_of(" \t") == std::string::npos || (isWord && value != lower))
        {
          m_Context.wrongValue(*entry, value, "\"false\", \"true\", or the folder for the files");
          return {};
        }
        return value == "false" ? std::string() : value;
      }
    }
    return {};
  }

  /** True or false; false where it is not given. */
  bool
  readBoolean(const std::string & name)
  {
    const auto entry = level(name);
    if (!entry)
    {
      return false;
    }
    const auto value = toBool(entry->values.front());
    if (!value)
    {
      m_Context.wrongValue(*entry, entry->values.front(), "\"true\" or \"false\"");
    }
    return value.value_or(false);
  }

  void
  warnOfWhatDoesNotApply(LevelSettings & settings)
  {
    if (settings.useMixedPrecision && settings.gpu < 0 && settings.mode == Mode::Jacobian)
    {
      m_Context.warnOfNoEffect(
        settings.nameOf("UseMixedPrecision"),
        "\"true\" has no effect in Jacobian mode on the CPU, which computes in single precision");
      settings.useMixedPrecision = false;
    }
    if (settings.bendingEnergyLimit > 0.0 && settings.bendingEnergyWeight == 0.0)
    {
      m_Context.warnOfNoEffect(settings.nameOf("BendingEnergyLimit"),
                               "it has no effect without BendingEnergyWeight, which it bounds");
      settings.bendingEnergyLimit = 0.0;
    }
    if (settings.mode != Mode::Jacobian)
    {
      return;
    }
    if (settings.featuresMapUpdateInterval > 0)
    {
      m_Context.warnOfNoEffect(settings.nameOf("FeaturesMapUpdateInterval"),
                               "it has no effect in Jacobian mode, where features are made at every iteration");
      settings.featuresMapUpdateInterval = -1;
    }
    if (!settings.featureMapsFolder.empty())
    {
      m_Context.warnOfNoEffect(settings.nameOf("WriteFeatureMaps"),
                               "it has no effect in Jacobian mode, where there are no feature maps to write");
      settings.featureMapsFolder.clear();
    }
  }

  template <typename Apply>
  void
  perLayer(const std::string & name, LevelSettings & settings, const Apply & apply)
  {
    const auto entry = m_Context.note(name, m_Context.reader.list(name, m_Context.level));
    if (!entry)
    {
      return;
    }
    const auto &      values = entry->values;
    const std::size_t layers = settings.layers.size();
    const std::size_t models = settings.fixedModels.size();
    if (values.size() != 1 && values.size() != layers && values.size() != models)
    {
      m_Context.error(Problem::Kind::Count,
                      entry->name,
                      std::to_string(values.size()) + " values (" + quoted(values) + ") for " + std::to_string(layers) +
                        " selected layers of " + std::to_string(models) + " models",
                      "Give one for all, one for each model, or one for each selected layer");
      return;
    }
    std::size_t layer = 0;
    for (std::size_t model = 0; model < models; ++model)
    {
      for (std::size_t n = numberOfSelectedLayers(settings.fixedModels[model]); n > 0 && layer < layers; --n, ++layer)
      {
        const std::size_t place = values.size() == 1 ? 0 : (values.size() == layers ? layer : model);
        apply(settings.layers[layer], *entry, values[place]);
      }
    }
  }

  void
  readLayers(LevelSettings & settings)
  {
    settings.layers.resize(numberOfSelectedLayers(settings.fixedModels));
    perLayer("SubsetFeatures", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto value = toNumber<std::int64_t>(text);
      if (!value || *value < 0)
      {
        m_Context.wrongValue(entry, text, "a whole number of channels, 0 for all");
        return;
      }
      layer.subsetFeatures = *value;
    });
    perLayer("PCA", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto value = toNumber<std::int64_t>(text);
      if (!value || *value < 0)
      {
        m_Context.wrongValue(
          entry, text, "a whole number of principal components, at most the layer's channels; 0: no reduction");
        return;
      }
      layer.pca = *value;
    });
    perLayer("LayersWeight", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto value = toNumber<double>(text);
      if (!value || !std::isfinite(*value) || *value < 0.0)
      {
        m_Context.wrongValue(entry, text, "a number from 0 up");
        return;
      }
      layer.weight = *value;
    });
    perLayer("Distance", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto distance = toDistance(text);
      if (!distance)
      {
        m_Context.wrongValue(entry, text, namesOfDistances());
        return;
      }
      layer.distance = *distance;
    });
  }

  LevelContext m_Context;
};

} // namespace

ParsedSettings
parseSettings(const ParameterMap & map, const std::string & label, int numberOfLevels, int imageDimension)
{
  const ParameterReader reader(map, label, numberOfLevels);
  ParsedSettings        parsed;
  for (int level = 0; level < numberOfLevels; ++level)
  {
    LevelSettings settings;
    settings.level = level;
    LevelParser({ reader, level, imageDimension, parsed.findings, settings.names }).parse(settings);
    parsed.levels.push_back(std::move(settings));
  }
  findUnfitComponents(map, parsed.findings);
  for (const LevelSettings & settings : parsed.levels)
  {
    findUnfitForBendingEnergy(map, settings, parsed.findings);
  }
  findDoubtfulParameters(map, label, numberOfLevels, parsed.findings);
  return parsed;
}


std::set<std::string>
namesRead(const ParsedSettings & parsed)
{
  std::set<std::string> names;
  for (const LevelSettings & level : parsed.levels)
  {
    for (const auto & [parameter, name] : level.names)
    {
      names.insert(name);
    }
  }
  return names;
}

} // namespace impact
