#include "python_headers.h"

namespace impact::bindings
{

namespace
{

Grid
gridOf(const std::vector<std::int64_t> & size,
       const std::vector<double> &       spacing,
       const std::vector<double> &       origin,
       const DoubleArray &               direction)
{
  const std::size_t d = size.size();
  if (d != 2 && d != 3)
  {
    throw py::value_error("size has " + std::to_string(d) + " numbers; allowed: 2 (x, y) or 3 (x, y, z)");
  }
  const auto dimension = static_cast<py::ssize_t>(d);
  if (spacing.size() != d || origin.size() != d || direction.ndim() != 2 || direction.shape(0) != dimension ||
      direction.shape(1) != dimension)
  {
    throw py::value_error("spacing, origin and direction must have " + std::to_string(d) + " numbers, " +
                          std::to_string(d) + " numbers and " + std::to_string(d) + " x " + std::to_string(d) +
                          " numbers");
  }
  Grid grid;
  grid.dimension = static_cast<int>(d);
  for (std::size_t i = 0; i < d; ++i)
  {
    if (size[i] < 1 || !(spacing[i] > 0.0))
    {
      throw py::value_error("size and spacing must be greater than 0, got " + std::to_string(size[i]) + " and " +
                            std::to_string(spacing[i]));
    }
    grid.size[i] = size[i];
    grid.spacing[i] = spacing[i];
    grid.origin[i] = origin[i];
    for (std::size_t j = 0; j < d; ++j)
    {
      grid.direction[i][j] = direction.at(i, j);
    }
  }
  return grid;
}

} // namespace

void
register_image(py::module_ & module)
{
  py::class_<Grid>(module, "Grid", "The geometry of an image: physical LPS frame, mm, axes in the order x, y, z.")
    .def(py::init(&gridOf),
         py::arg("size"),
         py::arg("spacing"),
         py::arg("origin"),
         py::arg("direction"),
         "size: voxels; spacing, origin (mm) and direction (rows) in the order x, y (, z), LPS.")
    .def_readonly("dimension", &Grid::dimension, "2 or 3.")
    .def_readonly("size", &Grid::size, "Voxels along x, y, z; 1 along z in 2D.")
    .def_readonly("spacing", &Grid::spacing, "mm between voxel centres along x, y, z.")
    .def_readonly("origin", &Grid::origin, "Physical place of the centre of the first voxel, mm.")
    .def_readonly("direction", &Grid::direction, "Direction cosines, rows; column i is axis i.")
    .def("resampled",
         &Grid::resampled,
         py::arg("voxel_size"),
         "The grid with another voxel size (three numbers, mm; 0 keeps an axis), the same axes and the same centre.");

  py::class_<Image>(module, "Image", "An image and its geometry.")
    .def(
      py::init([](FloatArray pixels, std::vector<double> spacing, std::vector<double> origin, DoubleArray direction) {
        const auto dimension = pixels.ndim();
        if (dimension != 2 && dimension != 3)
        {
          throw py::value_error("pixels has " + std::to_string(dimension) + " axes; allowed: 2 (y, x) or 3 (z, y, x)");
        }
        const auto                d = static_cast<std::size_t>(dimension);
        std::vector<std::int64_t> size(d);
        for (std::size_t i = 0; i < d; ++i)
        {
          size[i] = pixels.shape(dimension - 1 - static_cast<py::ssize_t>(i));
        }
        Image image{ std::move(pixels), gridOf(size, spacing, origin, direction) };
        return image;
      }),
      py::arg("pixels"),
      py::arg("spacing"),
      py::arg("origin"),
      py::arg("direction"),
      "pixels: float32, (z, y, x) or (y, x); spacing, origin (mm) and direction in the order x, y, z, LPS.")
    .def_readonly("grid", &Image::grid);
}

} // namespace impact::bindings
