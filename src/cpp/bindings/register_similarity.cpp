#include "python_headers.h"

#include "impact/api/similarity.h"
#include "impact/base/error.h"
#include "impact/base/text.h"
#include "impact/compare/distance.h"
#include "impact/features/feature_map.h"
#include "impact/runtime/torch_scope.h"

namespace impact::bindings
{
namespace
{

Distance
distanceOf(const std::string & name)
{
  if (const auto distance = toDistance(name))
  {
    return *distance;
  }
  throw py::value_error("distance \"" + name + "\" is unknown; allowed: " + namesOfDistances());
}

at::Tensor
toTensor(const DoubleArray & array)
{
  if (array.ndim() != 2)
  {
    throw py::value_error("features must have two axes, samples x channels");
  }
  return at::from_blob(const_cast<double *>(array.data()), { array.shape(0), array.shape(1) }, at::kDouble);
}

std::vector<double>
toPoints(const DoubleArray & array)
{
  if (array.ndim() != 2 || array.shape(1) != 3)
  {
    throw py::value_error("points must have shape (N, 3); in 2D the third number is 0");
  }
  return { array.data(), array.data() + array.size() };
}

py::array_t<double>
toArray(const std::vector<double> & points)
{
  return py::array_t<double>({ static_cast<py::ssize_t>(points.size() / 3), py::ssize_t{ 3 } }, points.data());
}

} // namespace

void
register_similarity(py::module_ & module)
{
  static py::handle error = py::exception<Error>(module, "Error", PyExc_RuntimeError).release(); // lives as the module
  error.doc() = "What a user can mend: names the parameter or file, the value, what is allowed and what to do.";
  py::register_exception_translator([](std::exception_ptr thrown) {
    try
    {
      std::rethrow_exception(thrown);
    }
    catch (const Error & caught)
    {
      py::set_error(error, asUtf8(caught.what()).c_str());
    }
  });

  module.def(
    "distance",
    [](const std::string & kind, const DoubleArray & fixed, const DoubleArray & moving, bool byTorch) {
      const Distance chosen = distanceOf(kind);
      at::Tensor     f = toTensor(fixed);
      at::Tensor     m = toTensor(moving);
      if (f.sizes() != m.sizes())
      {
        throw py::value_error("fixed and moving features must have the same shape");
      }
      double              value = 0.0;
      py::array_t<double> gradient({ moving.shape(0), moving.shape(1) });
      double * const      room = gradient.mutable_data();
      {
        const py::gil_scoped_release release;
        const TorchScope             scope(nullptr);
        at::AutoGradMode             gradientsOn(true);
        m.set_requires_grad(true);
        const at::Tensor result = distance(chosen, f, m, byTorch);
        const at::Tensor back = torch::autograd::grad({ result }, { m })[0].contiguous();
        std::copy_n(back.data_ptr<double>(), back.numel(), room);
        value = result.item<double>();
      }
      return std::make_pair(value, gradient);
    },
    py::arg("kind"),
    py::arg("fixed"),
    py::arg("moving"),
    py::arg("by_torch") = false,
    "Distance of two feature matrices (samples x channels) and its derivative with respect to the moving one.");

  module.def(
    "feature_maps",
    [](const Image & image, const ModelSettings & settings, int gpu) {
      std::vector<FeatureMap> maps;
      {
        const py::gil_scoped_release release;
        const TorchScope             scope(nullptr);
        const at::Device             device = deviceOf(gpu);
        maps = makeFeatureMaps(*loadTorchScript(settings.path, device),
                               settings,
                               makeModelInput(settings, image.view(), image.grid.direction, device));
      }
      py::list result;
      for (const FeatureMap & map : maps)
      {
        const at::Tensor rows = map.rows.cpu();
        const auto &     size = map.grid.size;
        result.append(py::make_tuple(
          py::array_t<float>({ size[2], size[1], size[0], rows.size(1) }, rows.data_ptr<float>()), map.grid));
      }
      return result;
    },
    py::arg("image"),
    py::arg("settings"),
    py::arg("gpu") = -1,
    "Features of a whole image as Static mode makes them: for each selected layer the array (z, y, x, channels) and "
    "its Grid. Raises Error when the model does not fit.");

  module.def(
    "runs_as_chain",
    [](const std::string & path, const std::vector<bool> & layersMask, int dimension, int numberOfChannels) {
      const TorchScope scope(nullptr);
      return loadTorchScript(path, at::kCPU)->chain(layersMask, dimension, numberOfChannels, ChainUse::Patches) !=
             nullptr;
    },
    py::arg("path"),
    py::arg("layers_mask"),
    py::arg("dimension"),
    py::arg("number_of_channels") = 1,
    py::call_guard<py::gil_scoped_release>(),
    "Whether the layers of a model that the mask selects are made by our own kernels on the CPU: convolutions, "
    "instance "
    "or batch normalisation and rectifiers, one after the other. Raises Error when the file is no model.");

  py::class_<StaticSimilarity>(module, "StaticSimilarity", "Features of two images made once, compared at points.")
    .def(
      py::init(
        [](const Image & fixed, const Image & moving, const LevelSettings & settings, std::uint64_t seed, int threads) {
          const SimilarityInput        input{ fixed.view(),
                                              moving.view(),
                                              settings,
                                              makeModelRepository(),
                                              seed,
                                              nullptr,
                                              threads > 0 ? std::make_shared<Workers>(threads) : nullptr,
                                              {},
                                              {},
                                              {} };
          const py::gil_scoped_release release;
          return std::make_unique<StaticSimilarity>(input);
        }),
      py::arg("fixed"),
      py::arg("moving"),
      py::arg("settings"),
      py::arg("seed") = 121212,
      py::arg("threads") = 0)
    .def(
      "evaluate",
      [](StaticSimilarity & self, const DoubleArray & fixedPoints, const DoubleArray & movingPoints) {
        const std::vector<double> fixed = toPoints(fixedPoints);
        const std::vector<double> moving = toPoints(movingPoints);
        if (fixed.size() != moving.size())
        {
          throw py::value_error("there must be as many moving as fixed points");
        }
        std::vector<double> gradient;
        double              value = 0.0;
        {
          const py::gil_scoped_release release;
          value = self.evaluate(fixed, moving, &gradient);
        }
        return std::make_pair(value, toArray(gradient));
      },
      py::arg("fixed_points"),
      py::arg("moving_points"),
      "Value, and its derivative per mm with respect to the moving points. Points (N, 3), physical, mm.");
}

} // namespace impact::bindings
