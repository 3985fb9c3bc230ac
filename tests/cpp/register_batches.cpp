#include "python_headers.h"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>

#include "impact/models/network_chain.h"
#include "impact/models/network_outline.h"
#include "impact/models/plain_graph.h"
#include "impact/models/torchscript_graph.h"
#include "impact/runtime/batches.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_scope.h"

#include <torch/csrc/jit/runtime/graph_executor.h>

namespace impact::bindings
{
namespace
{

/** Throws what torch throws in such a case. */
void
fail(const std::string & how)
{
  const c10::SourceLocation here{ "", "", 0 };
  const std::string         inModel = "The following operation failed in the TorchScript interpreter.\nTraceback of "
                                      "TorchScript (most recent call last):\nRuntimeError: ";
  const std::string noMemory = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB";
  const std::string lost = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously "
                           "reported at some other API call.";
  if (how == "memory")
  {
    throw c10::OutOfMemoryError(here, noMemory);
  }
  if (how == "memory in a model")
  {
    throw std::runtime_error(inModel + noMemory);
  }
  if (how == "memory of the machine")
  {
    throw std::bad_alloc();
  }
  if (how == "device")
  {
    throw c10::AcceleratorError(here, 719, lost);
  }
  if (how == "device in a model")
  {
    throw std::runtime_error(inModel + lost);
  }
  if (!how.empty())
  {
    throw std::runtime_error(how);
  }
}

/** A network's plain graph. \throws with the reason where it has none.
 *
 * \param direction of the images, row by row, for a network that is told */
std::shared_ptr<torch::jit::Graph>
plainGraphOf(const std::string & path, const std::vector<bool> & mask, int rank, const std::vector<float> & direction)
{
  torch::jit::Module module = torch::jit::load(path);
  module.eval();
  const std::vector<std::optional<c10::IValue>> all{ at::full({ 1 }, static_cast<std::int64_t>(mask.size()), at::kLong),
                                                     std::nullopt,
                                                     at::tensor(direction).view({ 3, -1 }) };
  const auto   taken = module.get_method("forward").function().getSchema().arguments().size() - 2;
  PlainRequest request{ rank, { all.begin(), all.begin() + static_cast<std::ptrdiff_t>(taken) }, mask, taken == 0 };
  std::string  reason;
  auto         graph = plainGraph(module, request, &reason);
  if (!graph)
  {
    throw std::runtime_error(reason);
  }
  return graph;
}

/** The operators of a network's plain graph, in order. */
std::vector<std::string>
plainOperators(const std::string & path, const std::vector<bool> & mask, int rank, const std::vector<float> & direction)
{
  std::vector<std::string> operators;
  const auto               graph = plainGraphOf(path, mask, rank, direction);
  for (const torch::jit::Node * const node : graph->nodes())
  {
    operators.emplace_back(node->kind().toQualString());
  }
  return operators;
}

/** Channels, size and, where it has one, layout (stride, offset, reach) of each selected layer, axes x, y, z; and
 * bytes; nothing where only a run would tell. */
using PlainLayer = std::tuple<std::int64_t, std::array<std::int64_t, 3>, std::optional<std::array<Vector, 3>>>;

std::optional<std::pair<std::vector<PlainLayer>, std::int64_t>>
outlineOfPlain(const std::string &               path,
               const std::vector<bool> &         mask,
               const std::vector<std::int64_t> & shape,
               const std::vector<float> &        direction)
{
  const auto outline = outlineOf(*plainGraphOf(path, mask, static_cast<int>(shape.size()), direction), shape);
  if (!outline)
  {
    return std::nullopt;
  }
  std::vector<PlainLayer> layers;
  for (const NetworkOutline::Layer & layer : outline->layers)
  {
    std::optional<std::array<Vector, 3>> layout;
    if (layer.layout)
    {
      layout = { layer.layout->stride, layer.layout->offset, layer.layout->reach };
    }
    layers.emplace_back(layer.channels, layer.size, layout);
  }
  return std::pair{ layers, outline->bytes };
}

py::array_t<float>
arrayOf(const at::Tensor & tensor)
{
  const at::Tensor numbers = tensor.contiguous();
  return py::array_t<float>(numbers.sizes().vec(), numbers.const_data_ptr<float>());
}

/** The selected layers of an image, (channels, z, y, x) each: as the file gives them, as they are made in torch, and as
 * our kernels make them, where they do.
 *
 * \param image z, y, x
 * \param direction of it, row by row */
std::vector<std::vector<py::array_t<float>>>
layersEachWay(const std::string &                                                   path,
              const std::vector<bool> &                                             mask,
              const py::array_t<float, py::array::c_style | py::array::forcecast> & image,
              const std::vector<float> &                                            direction)
{
  const at::Tensor grey =
    at::from_blob(const_cast<float *>(image.data()), { image.shape(0), image.shape(1), image.shape(2) }).clone();
  std::array<std::vector<at::Tensor>, 3> each;
  {
    const TorchScope   scope(nullptr); // lets the GIL go
    const ModelPointer model = loadTorchScript(path, at::kCPU);
    const at::Tensor   input = grey.unsqueeze(0).unsqueeze(0);
    const ImageContext context{ at::tensor({ grey.min().item<float>(),
                                             grey.max().item<float>(),
                                             grey.mean().item<float>(),
                                             grey.std(false).item<float>() }),
                                at::tensor(direction).view({ 3, 3 }) };
    const auto         ofFile = model->layers(input, mask.size(), context);
    for (std::size_t i = 0; i < mask.size(); ++i)
    {
      if (mask[i])
      {
        each[0].push_back(ofFile.at(i));
      }
    }
    each[1] = model->selected(input, mask, context);
    if (const NetworkChain * const chain = model->chain(mask, 3, 1, context.direction, ChainUse::Images))
    {
      each[2] = chain->layers(grey, context);
    }
  }
  std::vector<std::vector<py::array_t<float>>> result;
  for (const auto & layers : each)
  {
    result.emplace_back();
    for (const at::Tensor & layer : layers)
    {
      result.back().push_back(arrayOf(layer.select(0, 0)));
    }
  }
  return result;
}

/** A model file as it is run on a GPU: in single precision and without fusers. */
class AsOnGpu
{
public:
  explicit AsOnGpu(const std::string & path)
    : m_Module(torch::jit::load(path))
  {
    m_Module.eval();
    for (const torch::jit::Module & part : m_Module.modules())
    {
      for (const torch::jit::Method & method : part.get_methods())
      {
        const auto graph = torch::jit::toGraphFunction(method.function()).graph();
        convolveInSinglePrecision(*graph->block());
        m_Graphs += graph->toString();
      }
    }
  }

  const std::string &
  graphs() const
  {
    return m_Graphs;
  }

  /** The mean of the first layer for an image of waves. */
  double
  run(const std::vector<std::int64_t> & shape)
  {
    const TorchScope                             scope(nullptr);
    const torch::jit::GraphOptimizerEnabledGuard fusion(false);
    const at::Tensor  waves = at::arange(c10::multiply_integers(shape), at::kFloat).sin().view(shape);
    const c10::IValue output = m_Module.forward({ waves });
    return (output.isTensor() ? output.toTensor() : output.toListRef().front().toTensor()).mean().item<double>();
  }

private:
  torch::jit::Module m_Module;
  std::string        m_Graphs;
};

} // namespace

void
register_batches(py::module_ & module)
{
  module.def(
    "run_in_batches",
    [](std::int64_t                                                   count,
       std::int64_t                                                   first,
       const std::function<std::string(std::int64_t, std::int64_t)> & action,
       const std::function<bool()> &                                  makeRoom) {
      std::vector<std::string> messages;
      Batches                  batches(
        first, at::kCPU, "patch", [&messages](const std::string & message) { messages.push_back(message); });
      batches.run(count, [&](std::int64_t begin, std::int64_t number) { fail(action(begin, number)); }, makeRoom);
      return std::make_pair(batches.size(), messages);
    },
    py::arg("count"),
    py::arg("first"),
    py::arg("action"),
    py::arg("make_room") = py::none(),
    "Calls the action in batches, for tests: it returns how the batch is to fail, or nothing. Gives the size of the "
    "last "
    "batch and the messages.");

  module.def("plain_operators",
             &plainOperators,
             py::arg("path"),
             py::arg("mask"),
             py::arg("rank"),
             py::arg("direction") = std::vector<float>{ 1, 0, 0, 0, 1, 0, 0, 0, 1 });
  module.def("outline",
             &outlineOfPlain,
             py::arg("path"),
             py::arg("mask"),
             py::arg("shape"),
             py::arg("direction") = std::vector<float>{ 1, 0, 0, 0, 1, 0, 0, 0, 1 });
  module.def("layers_each_way",
             &layersEachWay,
             py::arg("path"),
             py::arg("mask"),
             py::arg("image"),
             py::arg("direction") = std::vector<float>{ 1, 0, 0, 0, 1, 0, 0, 0, 1 });
  module.def("number_that_fits", &numberThatFits, py::arg("available"), py::arg("bytes_per_item"), py::arg("most"));

  module.def(
    "maps_do_not_fit",
    [](double needed, std::uint64_t available, int gpu, bool areHalf) {
      return mapsDoNotFit(needed,
                          available,
                          gpu < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu)),
                          areHalf)
        .whole();
    },
    py::arg("needed"),
    py::arg("available"),
    py::arg("gpu"),
    py::arg("are_half") = false,
    "What is said of feature maps that need so many bytes where so many are available.");

  py::class_<AsOnGpu>(module, "AsOnGpu", "A model file as it is run on a GPU, on the CPU, for tests.")
    .def(py::init<const std::string &>(), py::arg("path"))
    .def_property_readonly("graphs", &AsOnGpu::graphs)
    .def("run", &AsOnGpu::run, py::arg("shape"), "The mean of the first layer for an image of waves.");

  module.def(
    "fail_on_gpu",
    [](int gpu, const std::string & how, const std::function<void()> & before) {
      onDevice(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu)), "an evaluation", [&] {
        before();
        fail(how);
      });
    },
    py::arg("gpu"),
    py::arg("how"),
    py::arg("before"),
    "What becomes of a failure on a GPU, for tests, which need none.");
}

} // namespace impact::bindings
