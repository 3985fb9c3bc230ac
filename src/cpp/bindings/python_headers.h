#pragma once

// First in every file of the bindings.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "impact/base/geometry.h"
#include "impact/settings/parameter_reader.h"

#include <string>
#include <vector>

namespace py = pybind11;

namespace impact::bindings
{

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

/** An image of Python: the array (z, y, x or y, x) and its geometry. Keeps the array alive. */
struct Image
{
  FloatArray pixels;
  Grid       grid;

  ImageView
  view() const
  {
    return { pixels.data(), grid };
  }
};

} // namespace impact::bindings
