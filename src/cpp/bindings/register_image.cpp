#include "python_headers.h"

namespace impact::bindings
{

void
register_image(py::module_ & module)
{
  py::class_<Grid>(module, "Grid", "The geometry of an image: physical LPS frame, mm, axes in the order x, y, z.")
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
        const auto d = static_cast<std::size_t>(dimension);
        if (spacing.size() != d || origin.size() != d || direction.ndim() != 2 || direction.shape(0) != dimension ||
            direction.shape(1) != dimension)
        {
          throw py::value_error("spacing, origin and direction must have " + std::to_string(dimension) + " numbers, " +
                                std::to_string(dimension) + " numbers and " + std::to_string(dimension) + " x " +
                                std::to_string(dimension) + " numbers");
        }
        Image image{ std::move(pixels), {} };
        image.grid.dimension = static_cast<int>(dimension);
        for (std::size_t i = 0; i < d; ++i)
        {
          if (!(spacing[i] > 0.0))
          {
            throw py::value_error("spacing must be greater than 0, got " + std::to_string(spacing[i]));
          }
          image.grid.size[i] = image.pixels.shape(dimension - 1 - static_cast<py::ssize_t>(i));
          image.grid.spacing[i] = spacing[i];
          image.grid.origin[i] = origin[i];
          for (std::size_t j = 0; j < d; ++j)
          {
            image.grid.direction[i][j] = direction.at(i, j);
          }
        }
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
