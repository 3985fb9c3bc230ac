#include "python_headers.h"

#include "impact/api/network.h"

namespace impact::bindings
{
namespace
{

using Size = std::vector<std::int64_t>;

const Size &
checked(const Size & size)
{
  if (size.size() < 2 || size.size() > 3)
  {
    throw py::value_error("size must have 2 or 3 numbers, x, y (, z)");
  }
  return size;
}

std::vector<double>
toList(const Vector & vector)
{
  return { vector.begin(), vector.end() };
}

} // namespace

void
register_models(py::module_ & module)
{
  using Range = std::pair<double, double>;

  py::class_<LayerLayout>(module, "LayerLayout", "Where the voxels of a layer lie in the model's input; axes x, y, z.")
    .def_property_readonly(
      "stride",
      [](const LayerLayout & layout) { return toList(layout.stride); },
      "Input voxels from one voxel of the layer to the next.")
    .def_property_readonly(
      "offset",
      [](const LayerLayout & layout) { return toList(layout.offset); },
      "Input index of the centre of the layer's first voxel.")
    .def_property_readonly(
      "reach",
      [](const LayerLayout & layout) { return toList(layout.reach); },
      "Input voxels to each side of its centre that a voxel of the layer depends on.");

  py::class_<MeasuredLayer>(module, "MeasuredLayer", "A layer as measured for one input.")
    .def_readonly("channels", &MeasuredLayer::channels)
    .def_readonly("size", &MeasuredLayer::size, "Voxels along x, y, z; 1 along z in 2D.")
    .def_readonly("differentiable", &MeasuredLayer::differentiable, "With respect to the input.")
    .def_readonly("layout",
                  &MeasuredLayer::layout,
                  "None where the layer cannot be differentiated, or depends on voxels at the edge of the input.");

  py::class_<Network>(module, "Network", "A TorchScript file as the metric opens it, on the CPU.")
    .def(py::init<const std::string &>(), py::arg("path"), py::call_guard<py::gil_scoped_release>())
    .def_property_readonly(
      "arguments", &Network::arguments, "What forward() takes besides the image: nb_layers, stats, direction.")
    .def(
      "layer_shapes",
      [](const Network & network,
         const Size &    size,
         int             channels,
         std::size_t     numberOfLayers,
         Range           range,
         std::int64_t batch) { return network.layerShapes({ checked(size), channels, range, batch }, numberOfLayers); },
      py::arg("size"),
      py::arg("channels"),
      py::arg("number_of_layers"),
      py::arg("intensities"),
      py::arg("batch") = 1,
      py::call_guard<py::gil_scoped_release>(),
      "Runs the network on an irregular input of size x, y (, z). Returns the shape of each layer, batch x channels x "
      "(z) x y x x. Raises Error when the network refuses.")
    .def("measure",
         &Network::measure,
         py::arg("size"),
         py::arg("dimension"),
         py::arg("channels"),
         py::arg("number_of_layers"),
         py::arg("intensities"),
         py::arg("number_of_inputs") = 1,
         py::call_guard<py::gil_scoped_release>(),
         "Measures the layers by gradient, on irregular inputs with `size` voxels along each axis. Raises Error when "
         "the network refuses.")
    .def(
      "peak_memory",
      [](const Network & network,
         const Size &    size,
         int             channels,
         std::size_t     numberOfLayers,
         Range           range,
         std::int64_t    batch,
         bool            gradient) {
        return network.peakMemory({ checked(size), channels, range, batch }, numberOfLayers, gradient);
      },
      py::arg("size"),
      py::arg("channels"),
      py::arg("number_of_layers"),
      py::arg("intensities"),
      py::arg("batch") = 1,
      py::arg("gradient") = false,
      py::call_guard<py::gil_scoped_release>(),
      "The most bytes of tensors at a time that the network takes for an input of size x, y (, z), all layers; with "
      "the "
      "derivative with respect to the input, where `gradient`. Raises Error when the network refuses.")
    .def("runs_as_chain",
         &Network::runsAsChain,
         py::arg("layers_mask"),
         py::arg("dimension"),
         py::arg("number_of_channels") = 1,
         py::call_guard<py::gil_scoped_release>(),
         "Whether the layers that the mask selects are made by our own kernels on the CPU: convolutions, instance or "
         "batch normalisation and rectifiers, one after the other.")
    .def("chains_within",
         &Network::chainsWithin,
         py::arg("layers_mask"),
         py::arg("dimension"),
         py::arg("number_of_channels") = 1,
         py::call_guard<py::gil_scoped_release>(),
         "How many such chains within a network that is more are run by them on whole images, as in Static mode; 1 for "
         "MIND.");
}

} // namespace impact::bindings
