#include "python_headers.h"

#include "impact/models/layer_layout.h"
#include "impact/runtime/allocation_peak.h"
#include "impact/runtime/torch_scope.h"

namespace impact::bindings
{
namespace
{

std::array<std::int64_t, 3>
toSize(const std::vector<std::int64_t> & size)
{
  if (size.size() < 2 || size.size() > 3)
  {
    throw py::value_error("size must have 2 or 3 numbers, x, y (, z)");
  }
  std::array<std::int64_t, 3> result{ 1, 1, 1 };
  std::copy(size.begin(), size.end(), result.begin());
  return result;
}

/** What a model is told of an image with intensities in this range, evenly spread. */
ImageContext
contextOf(std::pair<double, double> range, int dimension)
{
  const auto [low, high] = range;
  return { at::tensor({ low, high, (low + high) / 2, (high - low) / std::sqrt(12.0) }, at::kFloat),
           at::eye(dimension, at::kFloat) };
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

  py::class_<Model, std::shared_ptr<Model>>(module, "Model", "A TorchScript file as the metric opens it, on the CPU.")
    .def(py::init([](const std::string & path) {
           const TorchScope scope(nullptr);
           return std::const_pointer_cast<Model>(loadTorchScript(path, at::kCPU));
         }),
         py::arg("path"),
         py::call_guard<py::gil_scoped_release>())
    .def_property_readonly(
      "arguments", &Model::arguments, "What forward() takes besides the image: nb_layers, stats, direction.")
    .def(
      "layer_shapes",
      [](const Model &                     model,
         const std::vector<std::int64_t> & size,
         int                               channels,
         std::size_t                       numberOfLayers,
         Range                             range,
         std::int64_t                      batch) {
        const TorchScope                       scope(nullptr);
        const auto                             dimension = static_cast<int>(size.size());
        const auto                             shape = inputShape(batch, channels, dimension, toSize(size));
        std::vector<std::vector<std::int64_t>> shapes;
        for (const at::Tensor & layer : model.layers(
               irregularImage(shape, range.first, range.second), numberOfLayers, contextOf(range, dimension)))
        {
          shapes.push_back(layer.sizes().vec());
        }
        return shapes;
      },
      py::arg("size"),
      py::arg("channels"),
      py::arg("number_of_layers"),
      py::arg("intensities"),
      py::arg("batch") = 1,
      py::call_guard<py::gil_scoped_release>(),
      "Runs the model on an irregular input of size x, y (, z). Returns the shape of each layer, batch x channels x "
      "(z) x y x x. Raises Error when the model refuses.")
    .def(
      "measure",
      [](const Model & model,
         std::int64_t  size,
         int           dimension,
         int           channels,
         std::size_t   numberOfLayers,
         Range         range,
         int           numberOfInputs) {
        const TorchScope scope(nullptr);
        return measureLayers(model,
                             dimension,
                             channels,
                             std::vector<bool>(numberOfLayers, true),
                             contextOf(range, dimension),
                             at::kCPU,
                             size,
                             numberOfInputs);
      },
      py::arg("size"),
      py::arg("dimension"),
      py::arg("channels"),
      py::arg("number_of_layers"),
      py::arg("intensities"),
      py::arg("number_of_inputs") = 1,
      py::call_guard<py::gil_scoped_release>(),
      "Measures the layers by gradient, on irregular inputs with `size` voxels along each axis. Raises Error when "
      "the model refuses.")
    .def(
      "peak_memory",
      [](const Model &                     model,
         const std::vector<std::int64_t> & size,
         int                               channels,
         std::size_t                       numberOfLayers,
         Range                             range,
         std::int64_t                      batch,
         bool                              gradient) {
        const TorchScope scope(nullptr);
        const auto       dimension = static_cast<int>(size.size());
        const auto       shape = inputShape(batch, channels, dimension, toSize(size));
        at::Tensor       input = irregularImage(shape, range.first, range.second);
        input.set_requires_grad(gradient);
        return allocationPeak(at::kCPU, [&] {
          at::AutoGradMode        gradientsOn(gradient);
          std::vector<at::Tensor> sums;
          for (const at::Tensor & layer : model.layers(input, numberOfLayers, contextOf(range, dimension)))
          {
            if (layer.requires_grad())
            {
              sums.push_back(layer.sum());
            }
          }
          if (!sums.empty())
          {
            torch::autograd::grad(sums, { input }, {}, false, false, /*allow_unused=*/true);
          }
        });
      },
      py::arg("size"),
      py::arg("channels"),
      py::arg("number_of_layers"),
      py::arg("intensities"),
      py::arg("batch") = 1,
      py::arg("gradient") = false,
      py::call_guard<py::gil_scoped_release>(),
      "The most bytes of tensors at a time that the model takes for an input of size x, y (, z), all layers; with the "
      "derivative with respect to the input, where `gradient`. Raises Error when the model refuses.");
}

} // namespace impact::bindings
