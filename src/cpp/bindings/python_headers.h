#pragma once

// First in every file of the bindings.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "geometry.h"
#include "parameter_reader.h"

#include <map>
#include <string>
#include <vector>

namespace py = pybind11;

namespace impact::bindings
{

using ParameterMap = std::map<std::string, std::vector<std::string>>;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

/** The lookup of a parameter map that outlives the call. */
inline ParameterLookup
lookupIn(const ParameterMap & map)
{
  return [&map](const std::string & name) {
    const auto found = map.find(name);
    return found == map.end() ? std::vector<std::string>{} : found->second;
  };
}

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
