#include "python_headers.h"

#include "impact/api/level_check.h"
#include "impact/base/workers.h"

namespace impact::bindings
{
namespace
{

/** The numbers along the axes that a model has. */
std::vector<double>
alongAxes(const Vector & vector, std::size_t dimension)
{
  return { vector.begin(), vector.begin() + static_cast<std::ptrdiff_t>(dimension) };
}

struct PythonLayer
{
  std::int64_t                       channels;
  std::optional<std::vector<double>> stride;
  std::optional<std::vector<double>> reach;
};

struct PythonModel
{
  std::size_t                 number;
  bool                        isFixed;
  std::array<std::int64_t, 3> imageSize;
  std::vector<PythonLayer>    layers;
};

PythonModel
inPython(const SurveyedModel & model, const LevelSettings & settings)
{
  const auto & models = model.isFixed ? settings.fixedModels : settings.movingModels;
  const auto   dimension = static_cast<std::size_t>(models[model.number].dimension);
  PythonModel  result{ model.number, model.isFixed, model.imageSize, {} };
  for (const SurveyedLayer & layer : model.layers)
  {
    PythonLayer ofLayer{ layer.channels, std::nullopt, std::nullopt };
    if (layer.layout)
    {
      ofLayer.stride = alongAxes(layer.layout->stride, dimension);
      ofLayer.reach = alongAxes(layer.layout->reach, dimension);
    }
    result.layers.push_back(std::move(ofLayer));
  }
  return result;
}

/** Model files that were read; what reads them is in the core's library alone. */
struct Repository
{
  ModelRepositoryPointer models = makeModelRepository();
};

struct PythonLevelCheck
{
  std::vector<Finding>     findings;
  std::vector<PythonModel> models;
  double                   bytes;
};

} // namespace

void
register_check(py::module_ & module)
{
  py::class_<PythonLayer>(module, "CheckedLayer", "A selected layer of a model that was run.")
    .def_readonly("channels", &PythonLayer::channels)
    .def_readonly("stride",
                  &PythonLayer::stride,
                  "Input voxels from one voxel of the layer to the next, x, y (, z); None where it cannot be measured.")
    .def_readonly("reach",
                  &PythonLayer::reach,
                  "Input voxels to each side of its centre that a voxel of the layer depends on; None where it cannot "
                  "be measured.");

  py::class_<PythonModel>(module, "CheckedModel", "A model that was run.")
    .def_readonly("number", &PythonModel::number, "Among the models of its image.")
    .def_readonly("is_fixed", &PythonModel::isFixed)
    .def_readonly("image_size",
                  &PythonModel::imageSize,
                  "The image in voxels of VoxelSize, x, y, z; zeros where no image was given.")
    .def_readonly("layers", &PythonModel::layers);

  py::class_<PythonLevelCheck>(module, "LevelCheck", "What was found out about a resolution level.")
    .def_readonly("findings", &PythonLevelCheck::findings)
    .def_readonly("models", &PythonLevelCheck::models, "Those of pairs that ran: fixed, moving, fixed, ...")
    .def_readonly(
      "bytes",
      &PythonLevelCheck::bytes,
      "Memory that the level will take at its peak, an estimate; 0 where it is not known. Static: the feature maps and "
      "what making them takes. "
      "Jacobian: patches and what the networks keep for the way back.");

  py::class_<Repository>(module, "ModelRepository", "Model files that were read.").def(py::init<>());

  module.def(
    "check_level",
    [](const LevelSettings &             settings,
       bool                              settingsAreRight,
       const std::optional<Grid> &       fixedGrid,
       const std::optional<Grid> &       movingGrid,
       std::int64_t                      numberOfSamples,
       const std::optional<Repository> & models,
       int                               threads) {
      const py::gil_scoped_release release;
      LevelToCheck                 level{ settings };
      level.settingsAreRight = settingsAreRight;
      level.fixedGrid = fixedGrid;
      level.movingGrid = movingGrid;
      level.models = models ? models->models : makeModelRepository();
      level.workers = threads > 0 ? std::make_shared<Workers>(threads) : nullptr;
      level.isSurveyed = true;
      level.numberOfSamples = numberOfSamples;
      LevelCheck       found = checkLevel(level);
      PythonLevelCheck result{ std::move(found.findings), {}, found.bytes };
      for (const SurveyedModel & model : found.models)
      {
        result.models.push_back(inPython(model, settings));
      }
      return result;
    },
    py::arg("settings"),
    py::arg("settings_are_right"),
    py::arg("fixed_grid") = py::none(),
    py::arg("moving_grid") = py::none(),
    py::arg("number_of_samples") = 2000,
    py::arg("models") = py::none(),
    py::arg("threads") = 0,
    "Opens and runs the models of a level as elastix's metric does before its first iteration. Without both grids, "
    "what depends on the images is left out. settings_are_right: whether the parser found no errors; the models are "
    "otherwise opened, but not run.");
}

} // namespace impact::bindings
