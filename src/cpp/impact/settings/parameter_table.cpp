#include "impact/settings/parameter_table.h"

#include "impact/settings/settings.h"

namespace impact
{

const std::vector<ParameterDescription> &
parameterTable()
{
  using Scope = ParameterDescription::Scope;
  static const std::vector<ParameterDescription> table{
    { "ModelsPath", Scope::Model, true, "text", "", "", "paths of TorchScript files" },
    { "Dimension", Scope::Model, true, "integer", "", "the images'", "2, 3; at most the images'" },
    { "NumberOfChannels", Scope::Model, true, "integer", "", "1", "from 1 up" },
    { "PatchSize", Scope::Model, true, "integers", "voxels", "Static 0, Jacobian 5", "from 1 up; 0 in Static mode" },
    { "VoxelSize", Scope::Model, true, "numbers", "mm", "", "greater than 0" },
    { "LayersMask", Scope::Model, true, "text", "", "1", "0 and 1, at least one 1" },
    { "FeatureNormalization", Scope::Model, true, "text", "", "none", namesOfFeatureNormalizations() },
    { "Distance", Scope::Layer, false, "text", "", "L2", namesOfDistances() },
    { "PCA", Scope::Layer, false, "integer", "components", "0", "from 0 up; at most the layer's channels" },
    { "LayersWeight", Scope::Layer, false, "number", "", "1", "from 0 up" },
    { "SubsetFeatures", Scope::Layer, false, "integer", "channels", "0", "from 0 up" },
    { "Mode", Scope::Level, false, "text", "", "Jacobian", "\"Static\", \"Jacobian\"" },
    { "GPU", Scope::Level, false, "integer", "", "-1", "-1, or the index of a GPU" },
    { "UseMixedPrecision", Scope::Level, false, "boolean", "", "false", "\"true\", \"false\"" },
    { "NormalizeLosses", Scope::Level, false, "boolean", "", "false", "\"true\", \"false\"" },
    { "MutualInformationWeight", Scope::Level, false, "number", "", "0", "from 0 up" },
    { "BendingEnergyWeight", Scope::Level, false, "number", "", "0", "from 0 up" },
    { "BendingEnergyLimit", Scope::Level, false, "number", "", "0", "from 0 up" },
    { "FeaturesMapUpdateInterval", Scope::Level, false, "integer", "iterations", "-1", "-1 or 0: never; from 1 up" },
    { "WriteFeatureMaps", Scope::Level, false, "text", "", "false", "\"true\", \"false\", or a folder" },
    { "FeatureMapOutputDirectory", Scope::Level, false, "text", "", "false", "as WriteFeatureMaps" },
  };
  return table;
}

std::string
toString(ParameterDescription::Scope scope)
{
  switch (scope)
  {
    case ParameterDescription::Scope::Model:
      return "model";
    case ParameterDescription::Scope::Layer:
      return "layer";
    case ParameterDescription::Scope::Level:
      return "level";
  }
  return "?";
}

std::vector<std::string>
namesOf(const ParameterDescription & parameter)
{
  if (!parameter.perImage)
  {
    return { parameter.name };
  }
  return { parameter.name, "Fixed" + parameter.name, "Moving" + parameter.name };
}

} // namespace impact
