#include "impact/settings/model_parser.h"

#include "impact/settings/values.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

class ModelParser
{
public:
  ModelParser(LevelContext & context, std::string side)
    : m_Context(context)
    , m_Side(std::move(side))
  {}

  std::vector<ModelSettings>
  parse(Mode mode)
  {
    auto paths = m_Context.reader.paths(m_Side + "ModelsPath", m_Context.level);
    if (!paths)
    {
      paths = m_Context.reader.paths("ModelsPath", m_Context.level);
    }
    paths = m_Context.note(m_Side + "ModelsPath", paths);
    const bool anyEmpty = paths && std::any_of(paths->values.begin(), paths->values.end(), [](auto & path) {
                            return path.find_first_not_of(" \t") == std::string::npos;
                          });
    if (!paths || paths->values.empty() || anyEmpty)
    {
      m_Context.error(Problem::Kind::MissingParameter,
                      paths ? paths->name : "ModelsPath",
                      "no model is given for the " + std::string(m_Side == "Fixed" ? "fixed" : "moving") + " image",
                      "Give the path of a TorchScript file, e.g. (ImpactModelsPath" + std::to_string(m_Context.level) +
                        " \"model.pt\") or (ModelsPath \"model.pt\"); impact_plugin.models.mind() writes one");
      return {};
    }

    std::vector<ModelSettings> models(paths->values.size());
    for (std::size_t i = 0; i < models.size(); ++i)
    {
      models[i].path = paths->values[i];
    }
    perModel(
      modelList("Dimension"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        const auto value = toNumber<int>(text);
        if (!value || (*value != 2 && *value != 3))
        {
          m_Context.wrongValue(entry, text, "2 or 3, the dimension of the model's input");
        }
        else if (*value > m_Context.imageDimension)
        {
          m_Context.error(Problem::Kind::Mismatch,
                          entry.name,
                          "a model of dimension " + text + " cannot be used on images of dimension " +
                            std::to_string(m_Context.imageDimension),
                          "Use a model of dimension 2");
        }
        else
        {
          model.dimension = *value;
        }
      },
      [this](ModelSettings & model) { model.dimension = m_Context.imageDimension; });
    perModel(
      modelList("NumberOfChannels"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        const auto value = toNumber<int>(text);
        if (!value || *value < 1)
        {
          m_Context.wrongValue(
            entry, text, "a whole number from 1 up, the channels of the model's input (1 grey, 3 colour)");
        }
        else
        {
          model.numberOfChannels = *value;
        }
      },
      [](ModelSettings &) {});
    perModel(
      modelList("LayersMask"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        if (text.empty() || text.find_first_not_of("01") != std::string::npos || text.find('1') == std::string::npos)
        {
          m_Context.wrongValue(entry, text, "one 0 or 1 for each output of the model, at least one 1, e.g. \"01\"");
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
    perModel(
      modelList("FeatureNormalization"),
      models,
      [this](ModelSettings & model, const ParameterEntry & entry, auto & text) {
        const auto normalization = toFeatureNormalization(text);
        if (!normalization)
        {
          m_Context.wrongValue(entry, text, namesOfFeatureNormalizations());
          return;
        }
        model.featureNormalization = *normalization;
      },
      [](ModelSettings &) {},
      "Give one for all, or one for each, which all of its layers share");
    readPatchSizes(mode, models);
    readVoxelSizes(models);
    return models;
  }

private:
  /** The value of a parameter for this image: `Fixed<Name>` before `<Name>`. */
  std::optional<ParameterEntry>
  modelList(const std::string & name)
  {
    const auto entry = m_Context.reader.list(m_Side + name, m_Context.level);
    return m_Context.note(m_Side + name, entry ? entry : m_Context.reader.list(name, m_Context.level));
  }

  std::optional<ParameterEntry>
  modelSizes(const std::string & name, std::size_t count) const
  {
    const auto entry = m_Context.reader.sizes(m_Side + name, m_Context.level, count);
    return entry ? entry : m_Context.reader.sizes(name, m_Context.level, count);
  }

  template <typename Apply, typename Default>
  void
  perModel(const std::optional<ParameterEntry> & entry,
           std::vector<ModelSettings> &          models,
           const Apply &                         apply,
           const Default &                       applyDefault,
           const std::string &                   remedy = "Give one for all, or one for each")
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
      m_Context.error(Problem::Kind::Count,
                      entry->name,
                      std::to_string(entry->values.size()) + " values (" + quoted(entry->values) + ") for " +
                        std::to_string(models.size()) + " models",
                      remedy);
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
        m_Context.error(Problem::Kind::Count,
                        entry.name,
                        std::to_string(values.size()) + " numbers (" + quoted(values) + "), but " +
                          std::to_string(total) + " are needed: one for each axis of each model",
                        "One for all, or one per model, will do too");
        return {};
      }
    }
    return result;
  }

  void
  readPatchSizes(Mode mode, std::vector<ModelSettings> & models)
  {
    std::vector<std::size_t> axes;
    for (ModelSettings & model : models)
    {
      axes.push_back(static_cast<std::size_t>(model.dimension));
      model.patchSize.assign(axes.back(), mode == Mode::Static ? 0 : 5);
    }
    const auto entry = m_Context.note(m_Side + "PatchSize", modelSizes("PatchSize", totalOf(axes)));
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
          m_Context.wrongValue(
            *entry, dealt[i][axis], "whole numbers of voxels; 0 (Static only) means the whole image");
          return;
        }
        anyZero = anyZero || *value == 0;
        allZero = allZero && *value == 0;
        models[i].patchSize[axis] = *value;
      }
      if (anyZero && (!allZero || mode == Mode::Jacobian))
      {
        const bool isStatic = mode == Mode::Static;
        m_Context.error(Problem::Kind::Value,
                        entry->name,
                        isStatic ? "some axes are 0 and others not"
                                 : "0 (the whole image) is possible in Static mode only",
                        isStatic ? "Give all as 0 (the whole image), or none"
                                 : "In Jacobian mode give the patch around each sample in voxels, e.g. 5 5 5");
        return;
      }
    }
  }

  void
  readVoxelSizes(std::vector<ModelSettings> & models)
  {
    // A 2D model on a 3D image may be given two numbers or three; the third axis then keeps the image's spacing.
    std::vector<std::size_t> ofImage(models.size(), static_cast<std::size_t>(m_Context.imageDimension));
    std::vector<std::size_t> ofModel;
    std::size_t              totalOfModel = 0;
    for (ModelSettings & model : models)
    {
      // A model of more dimensions than the image has been refused already.
      ofModel.push_back(static_cast<std::size_t>(std::min<std::int64_t>(model.dimension, m_Context.imageDimension)));
      totalOfModel += ofModel.back();
      model.voxelSize.assign(static_cast<std::size_t>(m_Context.imageDimension), 0.0);
    }
    auto         entry = modelSizes("VoxelSize", totalOf(ofImage));
    const auto   shorter = modelSizes("VoxelSize", totalOf(ofModel));
    const auto * axes = &ofImage;
    if (entry && shorter && entry->values.size() != totalOf(ofImage) && shorter->values.size() == totalOfModel)
    {
      entry = shorter;
      axes = &ofModel;
    }
    entry = m_Context.note(m_Side + "VoxelSize", entry);
    if (!entry)
    {
      m_Context.error(Problem::Kind::MissingParameter,
                      "VoxelSize",
                      "missing",
                      "Give the voxel size in mm at which the model sees the images, e.g. (ImpactVoxelSize" +
                        std::to_string(m_Context.level) + " 3 3 3) or (VoxelSize \"3*3*3\")");
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
          m_Context.wrongValue(*entry, dealt[i][axis], "numbers of mm greater than 0");
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

  LevelContext & m_Context;
  std::string    m_Side;
};

} // namespace

std::vector<ModelSettings>
parseModels(LevelContext & context, const std::string & side, Mode mode)
{
  return ModelParser(context, side).parse(mode);
}

} // namespace impact
