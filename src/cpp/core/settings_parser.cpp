#include "settings_parser.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

namespace impact
{
namespace
{

template <typename T>
std::optional<T>
toNumber(const std::string & text)
{
  T            value{};
  const char * end = text.data() + text.size();
  const auto   result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc{} || result.ptr != end)
  {
    return std::nullopt;
  }
  return value;
}

std::optional<bool>
toBool(const std::string & text)
{
  if (text == "true")
  {
    return true;
  }
  if (text == "false")
  {
    return false;
  }
  return std::nullopt;
}

std::string
quoted(const std::vector<std::string> & values)
{
  std::string text;
  for (const std::string & value : values)
  {
    text += (text.empty() ? "\"" : " \"") + value + "\"";
  }
  return text.empty() ? "\"\"" : text;
}

/** Reads one level; findings go to the list of all levels. */
class LevelParser
{
public:
  LevelParser(const ParameterReader & reader, int level, int imageDimension, std::vector<Finding> & findings)
    : m_Reader(reader)
    , m_Level(level)
    , m_ImageDimension(imageDimension)
    , m_Findings(findings)
  {}

  LevelSettings
  parse()
  {
    LevelSettings settings;
    settings.mode = readMode();
    settings.gpu = static_cast<int>(readWholeNumber("GPU", -1, -1, "-1 for the CPU, or the index of a GPU: 0, 1, ..."));
    refuseUnlessDefault();
    settings.fixedModels = readModels("Fixed", settings.mode);
    settings.movingModels = readModels("Moving", settings.mode);
    if (settings.fixedModels.size() != settings.movingModels.size())
    {
      error("FixedModelsPath",
            "there are " + std::to_string(settings.fixedModels.size()) + " fixed and " +
              std::to_string(settings.movingModels.size()) +
              " moving models. Each fixed model is compared with the moving model of the same place: give as many");
    }
    else if (const auto i = firstPairOfTwoDimensions(settings); i < settings.fixedModels.size())
    {
      error("Dimension",
            "the fixed model \"" + settings.fixedModels[i].path + "\" has dimension " +
              std::to_string(settings.fixedModels[i].dimension) + ", its partner \"" + settings.movingModels[i].path +
              "\" has " + std::to_string(settings.movingModels[i].dimension) + ". Give both the same");
    }
    else if (numberOfSelectedLayers(settings.fixedModels) != numberOfSelectedLayers(settings.movingModels))
    {
      error("LayersMask",
            "the masks of the fixed models select " + std::to_string(numberOfSelectedLayers(settings.fixedModels)) +
              " layers, those of the moving models " + std::to_string(numberOfSelectedLayers(settings.movingModels)) +
              ". Layers are compared in order: select as many");
    }
    readLayers(settings);
    return settings;
  }

private:
  void
  error(const std::string & parameter, const std::string & message)
  {
    m_Findings.push_back({ Finding::Severity::Error, parameter, atLevel(parameter, message) });
  }

  std::string
  atLevel(const std::string & parameter, const std::string & message) const
  {
    return parameter + " (resolution level " + std::to_string(m_Level) + "): " + message + ".";
  }

  void
  wrongValue(const ParameterEntry & entry, const std::string & value, const std::string & allowed)
  {
    error(entry.name, "\"" + value + "\" is not allowed. Allowed: " + allowed);
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
    const auto entry = m_Reader.perLevel("Mode", m_Level);
    if (!entry || entry->values.front() == "Jacobian")
    {
      return Mode::Jacobian;
    }
    if (entry->values.front() != "Static")
    {
      wrongValue(*entry, entry->values.front(), "\"Static\" or \"Jacobian\"");
    }
    return Mode::Static;
  }

  std::int64_t
  readWholeNumber(const std::string & name,
                  std::int64_t        defaultValue,
                  std::int64_t        minimum,
                  const std::string & allowed)
  {
    const auto entry = m_Reader.perLevel(name, m_Level);
    if (!entry)
    {
      return defaultValue;
    }
    const auto value = toNumber<std::int64_t>(entry->values.front());
    if (!value || *value < minimum || *value > std::numeric_limits<int>::max())
    {
      wrongValue(*entry, entry->values.front(), allowed);
      return defaultValue;
    }
    return *value;
  }

  /** Parameters of the design whose other values this version does not have yet. */
  void
  refuseUnlessDefault()
  {
    if (const auto entry = m_Reader.perLevel("FeaturesMapUpdateInterval", m_Level))
    {
      const auto value = toNumber<std::int64_t>(entry->values.front());
      if (!value)
      {
        wrongValue(*entry, entry->values.front(), "a whole number");
      }
      else if (*value > 0)
      {
        wrongValue(*entry, entry->values.front(), "-1 (features are made once per level) in this version");
      }
    }
    if (const auto entry = m_Reader.perLevel("WriteFeatureMaps", m_Level); entry && entry->values.front() != "false")
    {
      m_Findings.push_back(
        { Finding::Severity::Warning,
          entry->name,
          atLevel(entry->name, "\"" + entry->values.front() + "\" is ignored: this version writes no feature maps") });
    }
    if (const auto entry = m_Reader.perLevel("UseMixedPrecision", m_Level))
    {
      const auto value = toBool(entry->values.front());
      if (!value)
      {
        wrongValue(*entry, entry->values.front(), "\"true\" or \"false\"");
      }
      else if (*value)
      {
        m_Findings.push_back(
          { Finding::Severity::Warning,
            entry->name,
            atLevel(entry->name, "\"true\" is ignored: this version computes in single precision") });
      }
    }
  }

  /** The value of a per-model parameter for one side: `Fixed<Name>` before `<Name>`. */
  std::optional<ParameterEntry>
  modelList(const std::string & side, const std::string & name) const
  {
    const auto entry = m_Reader.list(side + name, m_Level);
    return entry ? entry : m_Reader.list(name, m_Level);
  }

  std::optional<ParameterEntry>
  modelSizes(const std::string & side, const std::string & name, std::size_t count) const
  {
    const auto entry = m_Reader.sizes(side + name, m_Level, count);
    return entry ? entry : m_Reader.sizes(name, m_Level, count);
  }

  std::vector<ModelSettings>
  readModels(const std::string & side, Mode mode)
  {
    const auto paths = modelList(side, "ModelsPath");
    if (!paths || paths->values.empty())
    {
      error(paths ? paths->name : "ModelsPath",
            "no model is given for the " + std::string(side == "Fixed" ? "fixed" : "moving") +
              " image. Give the path of a TorchScript file, e.g. (ImpactModelsPath" + std::to_string(m_Level) +
              " \"model.pt\") or (ModelsPath \"model.pt\"); impact_plugin.models.mind() writes one");
      return {};
    }

    std::vector<ModelSettings> models(paths->values.size());
    for (std::size_t i = 0; i < models.size(); ++i)
    {
      models[i].path = paths->values[i];
    }
    perModel(
      modelList(side, "Dimension"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        const auto value = toNumber<int>(text);
        if (!value || (*value != 2 && *value != 3))
        {
          wrongValue(entry, text, "2 or 3, the dimension of the model's input");
        }
        else if (*value > m_ImageDimension)
        {
          error(entry.name,
                "a model of dimension " + text + " cannot be used on images of dimension " +
                  std::to_string(m_ImageDimension) + ". Use a model of dimension 2");
        }
        else
        {
          model.dimension = *value;
        }
      },
      [this](ModelSettings & model) { model.dimension = m_ImageDimension; });
    perModel(
      modelList(side, "NumberOfChannels"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        const auto value = toNumber<int>(text);
        if (!value || *value < 1)
        {
          wrongValue(entry, text, "a whole number from 1 up, the channels of the model's input (1 grey, 3 colour)");
        }
        else
        {
          model.numberOfChannels = *value;
        }
      },
      [](ModelSettings &) {});
    perModel(
      modelList(side, "LayersMask"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        if (text.empty() || text.find_first_not_of("01") != std::string::npos || text.find('1') == std::string::npos)
        {
          wrongValue(entry, text, "one 0 or 1 for each output of the model, at least one 1, e.g. \"01\"");
        }
        else
        {
          for (const char c : text)
          {
            model.layersMask.push_back(c == '1');
          }
        }
      },
      [](ModelSettings & model) { model.layersMask = { true }; });
    for (ModelSettings & model : models)
    {
      if (model.layersMask.empty())
      {
        model.layersMask = { true }; // after a wrong mask, so that the other checks go on
      }
    }
    readPatchSizes(side, mode, models);
    readVoxelSizes(side, models);
    return models;
  }

  template <typename Apply, typename Default>
  void
  perModel(const std::optional<ParameterEntry> & entry,
           std::vector<ModelSettings> &          models,
           const Apply &                         apply,
           const Default &                       applyDefault)
  {
    if (!entry)
    {
      for (ModelSettings & model : models)
      {
        applyDefault(model);
      }
      return;
    }
    if (entry->values.size() != 1 && entry->values.size() != models.size())
    {
      error(entry->name,
            std::to_string(entry->values.size()) + " values (" + quoted(entry->values) + ") for " +
              std::to_string(models.size()) + " models. Give one for all, or one for each");
      for (ModelSettings & model : models)
      {
        applyDefault(model);
      }
      return;
    }
    for (std::size_t i = 0; i < models.size(); ++i)
    {
      apply(models[i], *entry, entry->values[entry->values.size() == 1 ? 0 : i]);
    }
  }

  /** Deals numbers out over models: as many for each as it has axes, or as many as one model has, or one for all. */
  std::vector<std::vector<std::string>>
  dealOut(const ParameterEntry & entry, const std::vector<std::size_t> & axes)
  {
    std::size_t total = 0;
    for (const std::size_t count : axes)
    {
      total += count;
    }
    const auto &                          values = entry.values;
    std::vector<std::vector<std::string>> result;
    if (values.size() == total)
    {
      auto begin = values.begin();
      for (const std::size_t count : axes)
      {
        result.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(count));
        begin += static_cast<std::ptrdiff_t>(count);
      }
      return result;
    }
    for (std::size_t i = 0; i < axes.size(); ++i)
    {
      if (values.size() == 1)
      {
        result.emplace_back(axes[i], values.front());
      }
      else if (values.size() == axes[i])
      {
        result.push_back(values);
      }
      else if (values.size() == axes.size())
      {
        result.emplace_back(axes[i], values[i]);
      }
      else
      {
        error(entry.name,
              std::to_string(values.size()) + " numbers (" + quoted(values) + "), but " + std::to_string(total) +
                " are needed: one for each axis of each model. One for all, or one per model, will do too");
        return {};
      }
    }
    return result;
  }

  void
  readPatchSizes(const std::string & side, Mode mode, std::vector<ModelSettings> & models)
  {
    std::vector<std::size_t> axes;
    for (ModelSettings & model : models)
    {
      axes.push_back(static_cast<std::size_t>(model.dimension));
      model.patchSize.assign(axes.back(), mode == Mode::Static ? 0 : 5);
    }
    const auto entry = modelSizes(side, "PatchSize", totalOf(axes));
    if (!entry)
    {
      return;
    }
    const auto dealt = dealOut(*entry, axes);
    for (std::size_t i = 0; i < dealt.size(); ++i)
    {
      bool anyZero = false;
      bool allZero = true;
      for (std::size_t axis = 0; axis < dealt[i].size(); ++axis)
      {
        const auto value = toNumber<std::int64_t>(dealt[i][axis]);
        if (!value || *value < 0 || *value > 100000)
        {
          wrongValue(*entry, dealt[i][axis], "whole numbers of voxels; 0 (Static only) means the whole image");
          return;
        }
        anyZero = anyZero || *value == 0;
        allZero = allZero && *value == 0;
        models[i].patchSize[axis] = *value;
      }
      if (anyZero && (!allZero || mode == Mode::Jacobian))
      {
        error(entry->name,
              mode == Mode::Jacobian ? "0 (the whole image) is possible in Static mode only. In Jacobian mode give the "
                                       "patch around each sample in voxels, e.g. 5 5 5"
                                     : "some axes are 0 and others not. Give all as 0 (the whole image), or none");
        return;
      }
    }
  }

  void
  readVoxelSizes(const std::string & side, std::vector<ModelSettings> & models)
  {
    // A 2D model on a 3D image may be given two numbers or three; the third axis then keeps the image's spacing.
    std::vector<std::size_t> ofImage(models.size(), static_cast<std::size_t>(m_ImageDimension));
    std::vector<std::size_t> ofModel;
    std::size_t              totalOfModel = 0;
    for (ModelSettings & model : models)
    {
      ofModel.push_back(static_cast<std::size_t>(model.dimension));
      totalOfModel += ofModel.back();
      model.voxelSize.assign(static_cast<std::size_t>(m_ImageDimension), 0.0);
    }
    auto         entry = modelSizes(side, "VoxelSize", totalOf(ofImage));
    const auto   shorter = modelSizes(side, "VoxelSize", totalOf(ofModel));
    const auto * axes = &ofImage;
    if (entry && shorter && entry->values.size() != totalOf(ofImage) && shorter->values.size() == totalOfModel)
    {
      entry = shorter;
      axes = &ofModel;
    }
    if (!entry)
    {
      error("VoxelSize",
            "missing. Give the voxel size in mm at which the model sees the images, e.g. (ImpactVoxelSize" +
              std::to_string(m_Level) + " 3 3 3) or (VoxelSize \"3*3*3\")");
      return;
    }
    const auto dealt = dealOut(*entry, *axes);
    for (std::size_t i = 0; i < dealt.size(); ++i)
    {
      for (std::size_t axis = 0; axis < dealt[i].size(); ++axis)
      {
        const auto value = toNumber<double>(dealt[i][axis]);
        if (!value || !std::isfinite(*value) || *value <= 0.0)
        {
          wrongValue(*entry, dealt[i][axis], "numbers of mm greater than 0");
          return;
        }
        models[i].voxelSize[axis] = *value;
      }
    }
  }

  static std::size_t
  totalOf(const std::vector<std::size_t> & axes)
  {
    std::size_t total = 0;
    for (const std::size_t count : axes)
    {
      total += count;
    }
    return total;
  }

  template <typename Apply>
  void
  perLayer(const std::string & name, LevelSettings & settings, const Apply & apply)
  {
    const auto entry = m_Reader.list(name, m_Level);
    if (!entry)
    {
      return;
    }
    const auto &      values = entry->values;
    const std::size_t layers = settings.layers.size();
    const std::size_t models = settings.fixedModels.size();
    if (values.size() != 1 && values.size() != layers && values.size() != models)
    {
      error(entry->name,
            std::to_string(values.size()) + " values (" + quoted(values) + ") for " + std::to_string(layers) +
              " selected layers of " + std::to_string(models) +
              " models. Give one for all, one for each model, or one for each selected layer");
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
        wrongValue(entry, text, "a whole number of channels, 0 for all");
        return;
      }
      layer.subsetFeatures = *value;
    });
    perLayer("PCA", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto value = toNumber<std::int64_t>(text);
      if (!value || *value < 0)
      {
        wrongValue(
          entry, text, "a whole number of principal components, at most the layer's channels; 0: no reduction");
        return;
      }
      layer.pca = *value;
    });
    perLayer("LayersWeight", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto value = toNumber<double>(text);
      if (!value || !std::isfinite(*value) || *value < 0.0)
      {
        wrongValue(entry, text, "a number from 0 up");
        return;
      }
      layer.weight = *value;
    });
    perLayer("Distance", settings, [this](LayerSettings & layer, const ParameterEntry & entry, auto & text) {
      const auto distance = toDistance(text);
      if (!distance)
      {
        wrongValue(entry, text, namesOfDistances());
        return;
      }
      layer.distance = *distance;
    });
  }

  const ParameterReader & m_Reader;
  int                     m_Level;
  int                     m_ImageDimension;
  std::vector<Finding> &  m_Findings;
};

} // namespace

bool
ParsedSettings::hasErrors() const
{
  for (const Finding & finding : findings)
  {
    if (finding.severity == Finding::Severity::Error)
    {
      return true;
    }
  }
  return false;
}

std::string
ParsedSettings::text(Finding::Severity severity) const
{
  std::string result;
  for (const Finding & finding : findings)
  {
    if (finding.severity == severity)
    {
      result += (result.empty() ? "" : "\n") + finding.message;
    }
  }
  return result;
}

ParsedSettings
parseSettings(const ParameterLookup & lookup, const std::string & label, int numberOfLevels, int imageDimension)
{
  const ParameterReader reader(lookup, label, numberOfLevels);
  ParsedSettings        parsed;
  for (int level = 0; level < numberOfLevels; ++level)
  {
    std::vector<Finding> findings;
    parsed.levels.push_back(LevelParser(reader, level, imageDimension, findings).parse());
    // Fixed and moving models usually share their parameters: what is wrong with both is said once.
    for (Finding & finding : findings)
    {
      bool known = false;
      for (const Finding & earlier : parsed.findings)
      {
        known = known || earlier.message == finding.message;
      }
      if (!known)
      {
        parsed.findings.push_back(std::move(finding));
      }
    }
  }
  return parsed;
}

} // namespace impact
