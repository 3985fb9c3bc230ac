#include "impact/models/outline_operators.h"

#include <algorithm>
#include <set>

namespace impact
{

using torch::jit::Node;
using torch::jit::Value;

std::string
nameOf(const Node & node)
{
  const std::string name = node.kind().toUnqualString();
  return name.size() > 1 && name.back() == '_' ? name.substr(0, name.size() - 1) : name;
}

bool
isElementwise(const std::string & name)
{
  static const std::set<std::string> names{
    "abs",        "add",     "celu",        "clamp",     "clamp_max",  "clamp_min",  "clip",      "clone",
    "contiguous", "detach",  "div",         "dropout",   "elu",        "exp",        "expand_as", "feature_dropout",
    "float",      "gelu",    "hardsigmoid", "hardswish", "hardtanh",   "leaky_relu", "log",       "mish",
    "mul",        "neg",     "pow",         "prelu",     "reciprocal", "relu",       "relu6",     "rsqrt",
    "rsub",       "selu",    "sigmoid",     "silu",      "softplus",   "sqrt",       "sub",       "tanh",
    "to",         "type_as", "where"
  };
  return names.count(name) > 0;
}

bool
keepsPlaces(const std::string & name)
{
  static const std::set<std::string> names{ "batch_norm", "group_norm", "instance_norm",
                                            "layer_norm", "softmax",    "log_softmax" };
  return names.count(name) > 0;
}

bool
isConvolution(const std::string & name)
{
  return name.rfind("conv", 0) == 0 || name == "_convolution";
}

bool
isPool(const std::string & name)
{
  return name.rfind("max_pool", 0) == 0 || name.rfind("avg_pool", 0) == 0;
}

Windows
windowsOfConvolution(const Node & node, const std::string & name, const OutlineValues & values)
{
  const at::Tensor  weight = values.argument(node, "weight").toTensor();
  const auto        axes = static_cast<std::size_t>(weight.dim() - 2);
  const c10::IValue transposed = values.argument(node, "transposed");
  Windows           windows;
  windows.isTransposed = name.find("transpose") != std::string::npos || (transposed.isBool() && transposed.toBool());
  windows.size = weight.sizes().slice(2).vec();
  windows.stride = values.numbers(node, "stride", axes, 1);
  windows.padding = values.numbers(node, "padding", axes, 0);
  windows.dilation = values.numbers(node, "dilation", axes, 1);
  windows.more = values.numbers(node, "output_padding", axes, 0);
  windows.outputs = windows.isTransposed ? weight.size(1) * values.argument(node, "groups").toInt() : weight.size(0);
  if (values.argument(node, "padding").isString())
  {
    throw NoOutline();
  }
  return windows;
}

Windows
windowsOfPool(const Node & node, std::size_t axes, const OutlineValues & values)
{
  Windows    windows;
  const auto stride = values.argument(node, "stride");
  const bool isGiven = stride.isInt() || (stride.isIntList() && !stride.toIntVector().empty());
  windows.size = values.numbers(node, "kernel_size", axes, 1);
  windows.stride = isGiven ? values.numbers(node, "stride", axes, 1) : windows.size;
  windows.padding = values.numbers(node, "padding", axes, 0);
  windows.dilation = values.numbers(node, "dilation", axes, 1);
  if (values.argument(node, "ceil_mode").toBool())
  {
    throw NoOutline();
  }
  return windows;
}

at::Tensor
resultOf(const Node & node, const std::string & name, const OutlineValues & values)
{
  static const std::set<std::string> same{ "contiguous", "detach", "dropout", "feature_dropout", "float", "to" };
  const auto * const                 schema = node.maybeSchema();
  const bool                         isKnown =
    isElementwise(name) || keepsPlaces(name) || isConvolution(name) || isPool(name) || name == "flip";
  if (!isKnown || !schema)
  {
    return {};
  }
  const c10::IValue first = values.of(node.inputs()[0]);
  if (!first.isTensor())
  {
    return {}; // numbers
  }
  const at::Tensor & of = first.toTensor();
  if (schema->is_mutable() || same.count(name) > 0)
  {
    return of;
  }
  auto size = of.sizes().vec();
  if (isElementwise(name))
  {
    for (const Value * const input : node.inputs())
    {
      if (const c10::IValue value = values.of(input); value.isTensor())
      {
        size = at::infer_size(size, value.toTensor().sizes());
      }
    }
  }
  else if (isConvolution(name))
  {
    const Windows windows = windowsOfConvolution(node, name, values);
    size.at(1) = windows.outputs;
    for (std::size_t axis = 0; axis < windows.size.size(); ++axis)
    {
      size.at(axis + 2) =
        windows.isTransposed ? windows.before(axis, size[axis + 2]) : windows.after(axis, size[axis + 2]);
    }
  }
  else if (isPool(name))
  {
    const Windows windows = windowsOfPool(node, size.size() - 2, values);
    for (std::size_t axis = 0; axis < windows.size.size(); ++axis)
    {
      size[axis + 2] = windows.after(axis, size[axis + 2]);
    }
  }
  if (std::any_of(size.begin(), size.end(), [](std::int64_t n) { return n < 1; }))
  {
    throw NoOutline();
  }
  return at::empty(size, of.options());
}

} // namespace impact
