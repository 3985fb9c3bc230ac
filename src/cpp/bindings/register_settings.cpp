#include "python_headers.h"

#include "impact/settings/parameter_table.h"
#include "impact/settings/settings_parser.h"
#include "impact/settings/unfit_components.h"

namespace impact::bindings
{

void
register_settings(py::module_ & module)
{
  py::class_<ModelSettings>(module, "ModelSettings", "One feature extractor at one resolution level.")
    .def_readonly("path", &ModelSettings::path)
    .def_readonly("dimension", &ModelSettings::dimension)
    .def_readonly("number_of_channels", &ModelSettings::numberOfChannels)
    .def_readonly("patch_size", &ModelSettings::patchSize, "Voxels, x, y (, z); zeros mean the whole image.")
    .def_readonly("voxel_size", &ModelSettings::voxelSize, "mm, along the axes of the image.")
    .def_readonly("layers_mask", &ModelSettings::layersMask)
    .def_property_readonly("feature_normalization",
                           [](const ModelSettings & model) { return toString(model.featureNormalization); });

  py::class_<LayerSettings>(module, "LayerSettings", "How one selected layer enters the metric.")
    .def_readonly("subset_features", &LayerSettings::subsetFeatures, "Channels drawn at each evaluation; 0: all.")
    .def_readonly("pca", &LayerSettings::pca, "Principal components kept; 0: no reduction.")
    .def_readonly("weight", &LayerSettings::weight)
    .def_property_readonly("distance", [](const LayerSettings & layer) { return toString(layer.distance); });

  py::class_<LevelSettings>(module, "LevelSettings", "What a parameter map says of one resolution level.")
    .def_property_readonly("mode", [](const LevelSettings & level) { return toString(level.mode); })
    .def_readonly("gpu", &LevelSettings::gpu, "Index of the GPU, -1 for the CPU.")
    .def_readonly("use_mixed_precision", &LevelSettings::useMixedPrecision)
    .def_readonly("normalize_losses", &LevelSettings::normalizeLosses)
    .def_readonly("mutual_information_weight", &LevelSettings::mutualInformationWeight, "0: none.")
    .def_readonly("bending_energy_weight", &LevelSettings::bendingEnergyWeight, "0: none.")
    .def_readonly("bending_energy_limit", &LevelSettings::bendingEnergyLimit, "0: none.")
    .def_readonly("features_map_update_interval",
                  &LevelSettings::featuresMapUpdateInterval,
                  "Iterations after which the moving features are made anew; -1 or 0: never.")
    .def_readonly("feature_maps_folder", &LevelSettings::featureMapsFolder, "Empty: none are written.")
    .def_readonly("fixed_models", &LevelSettings::fixedModels)
    .def_readonly("moving_models", &LevelSettings::movingModels)
    .def_readonly("layers", &LevelSettings::layers)
    .def("name_of",
         &LevelSettings::nameOf,
         py::arg("parameter"),
         "A parameter's name (\"FixedPatchSize\", \"GPU\") as the user wrote it; plain where the map does not have it.")
    .def("describe", [](const LevelSettings & level) { return describe(level); }, "The table of elastix's log.");

  py::class_<Finding>(module, "Finding", "Something a parameter map says that cannot be, or is doubtful.")
    .def_property_readonly("is_error",
                           [](const Finding & finding) { return finding.severity == Finding::Severity::Error; })
    .def_property_readonly(
      "kind", [](const Finding & finding) { return toString(finding.kind); }, "See docs/checking.md.")
    .def_readonly("parameter", &Finding::parameter, "As the user wrote it; empty where it is about none.")
    .def_readonly("text", &Finding::text, "What is wrong or doubtful, in whole sentences.")
    .def_readonly("remedy", &Finding::remedy, "What to do; may be empty.")
    .def_readonly("path", &Finding::path, "The model file it is about; empty: none.")
    .def_readonly("levels", &Finding::levels, "The resolution levels it holds for; empty: all of the map.")
    .def_property_readonly("front", &Finding::front, "Parameter and levels, as the message begins; may be empty.")
    .def_property_readonly(
      "message", &Finding::message, "Parameter, levels and what is to be said, as in elastix's log.");

  py::class_<ParameterDescription>(module, "ParameterDescription", "One parameter of the metric.")
    .def_readonly("name", &ParameterDescription::name)
    .def_property_readonly("scope", [](const ParameterDescription & parameter) { return toString(parameter.scope); })
    .def_readonly("per_image", &ParameterDescription::perImage, "Has the variants Fixed<Name> and Moving<Name>.")
    .def_readonly("type", &ParameterDescription::type)
    .def_readonly("unit", &ParameterDescription::unit, "Empty: none.")
    .def_readonly("default", &ParameterDescription::defaultValue, "Empty: none, it must be given.")
    .def_readonly("allowed", &ParameterDescription::allowed);

  module.def("parameter_table", &parameterTable, "Every parameter that the parser reads.");

  module.def(
    "unfit_components",
    [](const ParameterMap & map) {
      std::vector<Finding> findings;
      findUnfitComponents(map, findings);
      return findings;
    },
    py::arg("parameter_map"),
    "What parse_settings says of elastix's components in a map with the metric: those that do not go with it.");

  module.def(
    "parse_settings",
    [](const ParameterMap & map, int numberOfLevels, int imageDimension, const std::string & label) {
      if (numberOfLevels < 1 || imageDimension < 2 || imageDimension > 3)
      {
        throw py::value_error("number_of_levels must be 1 or more, image_dimension 2 or 3");
      }
      ParsedSettings parsed = parseSettings(map, label, numberOfLevels, imageDimension);
      return std::make_pair(std::move(parsed.levels), std::move(parsed.findings));
    },
    py::arg("parameter_map"),
    py::arg("number_of_levels"),
    py::arg("image_dimension"),
    py::arg("label") = "",
    "Reads a parameter map as elastix's metric does. Returns the settings of each level, and all findings.");
}

} // namespace impact::bindings
