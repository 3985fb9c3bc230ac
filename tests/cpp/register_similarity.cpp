#include "python_headers.h"

#include "impact/api/similarity.h"

namespace impact::bindings
{
namespace
{

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
  py::class_<StaticSimilarity>(module, "StaticSimilarity", "Features of two images made once, compared at points.")
    .def(
      py::init(
        [](const Image & fixed, const Image & moving, const LevelSettings & settings, std::uint64_t seed, int threads) {
          const SimilarityInput        input{ fixed.view(),
                                              moving.view(),
                                              settings,
                                              Engine::Kernels,
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
