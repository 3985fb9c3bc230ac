#include "python_headers.h"

#include "impact/api/network.h"

namespace impact::bindings
{
namespace
{

Distance
distanceNamed(const std::string & name)
{
  if (const auto distance = toDistance(name))
  {
    return *distance;
  }
  throw py::value_error("distance \"" + name + "\" is unknown; allowed: " + namesOfDistances());
}

} // namespace

void
register_features(py::module_ & module)
{
  module.def(
    "distance",
    [](const std::string & kind, const DoubleArray & fixed, const DoubleArray & moving, bool byTorch) {
      const Distance chosen = distanceNamed(kind);
      if (fixed.ndim() != 2 || moving.ndim() != 2)
      {
        throw py::value_error("features must have two axes, samples x channels");
      }
      if (fixed.shape(0) != moving.shape(0) || fixed.shape(1) != moving.shape(1))
      {
        throw py::value_error("fixed and moving features must have the same shape");
      }
      py::array_t<double>  gradient({ moving.shape(0), moving.shape(1) });
      double * const       room = gradient.mutable_data();
      const double * const f = fixed.data();
      const double * const m = moving.data();
      const auto           samples = moving.shape(0);
      const auto           channels = moving.shape(1);
      double               value = 0.0;
      {
        const py::gil_scoped_release release;
        value = distanceOf(chosen, f, m, samples, channels, room, byTorch ? Engine::Torch : Engine::Kernels);
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
      std::vector<ImageFeatures> maps;
      {
        const py::gil_scoped_release release;
        maps = featuresOf(image.view(), settings, gpu);
      }
      py::list result;
      for (const ImageFeatures & map : maps)
      {
        const auto & size = map.grid.size;
        result.append(
          py::make_tuple(py::array_t<float>({ size[2], size[1], size[0], map.channels }, map.pixels.data()), map.grid));
      }
      return result;
    },
    py::arg("image"),
    py::arg("settings"),
    py::arg("gpu") = -1,
    "Features of a whole image as Static mode makes them: for each selected layer the array (z, y, x, channels) and "
    "its Grid. Raises Error when the model does not fit.");
}

} // namespace impact::bindings
