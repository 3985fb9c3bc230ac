#include "impact/chain/chain_description.h"

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <set>

namespace impact
{
namespace
{

using torch::jit::Node;
using torch::jit::Value;

std::string
kindOf(const Node & node)
{
  return node.kind().toQualString();
}

const std::set<std::string> convolutions{ "aten::conv2d", "aten::conv3d", "aten::_convolution", "aten::convolution" };
const std::set<std::string> rectifiers{ "aten::relu", "aten::relu_", "aten::leaky_relu", "aten::leaky_relu_" };

/** Whether some node changes a tensor or a list in a way that the reader does not follow. */
bool
changesThings(torch::jit::Block & block, bool inner)
{
  for (Node * const node : block.nodes())
  {
    for (torch::jit::Block * const part : node->blocks())
    {
      if (changesThings(*part, true))
      {
        return true;
      }
    }
    const auto * const schema = node->maybeSchema();
    if (schema && schema->is_mutable())
    {
      const std::string kind = kindOf(*node);
      const bool        followed = rectifiers.count(kind) > 0 || kind == "aten::append";
      if (inner || !followed)
      {
        return true;
      }
    }
  }
  return false;
}

/** Whether a network might be a chain: networks that are not may be large, and are not copied to find out. */
bool
mayBeChain(torch::jit::Block & block, bool & hasConvolution)
{
  const std::set<std::string> others{ "aten::linear", "aten::matmul", "aten::softmax", "aten::layer_norm" };
  for (Node * const node : block.nodes())
  {
    const std::string kind = kindOf(*node);
    hasConvolution = hasConvolution || convolutions.count(kind) > 0;
    if (others.count(kind) > 0)
    {
      return false;
    }
    for (torch::jit::Block * const part : node->blocks())
    {
      if (!mayBeChain(*part, hasConvolution))
      {
        return false;
      }
    }
  }
  return true;
}

/** A unit and the tensor that it ends with. */
struct ReadUnit
{
  ChainUnit     unit;
  const Value * end;
};

class Reader
{
public:
  explicit Reader(const Value * image)
    : m_Image(image)
  {}

  /** The units that make a tensor from the image. */
  std::optional<std::vector<ReadUnit>>
  unitsOf(const Value * value) const
  {
    std::vector<ReadUnit> reversed;
    for (skipIdentities(value); value != m_Image; skipIdentities(value))
    {
      ReadUnit unit{ {}, value };
      value = readUnit(value, unit.unit);
      if (!value)
      {
        return std::nullopt;
      }
      reversed.push_back(std::move(unit));
    }
    return std::vector<ReadUnit>(reversed.rbegin(), reversed.rend());
  }

private:
  /** An argument that is the same for every image; nothing where it is computed. */
  static std::optional<c10::IValue>
  constant(const Node & node, std::size_t input)
  {
    if (input >= node.inputs().size())
    {
      return std::nullopt;
    }
    const Value * const value = node.inputs()[input];
    if (value->node()->kind() != c10::prim::ListConstruct)
    {
      return torch::jit::toIValue(value);
    }
    c10::List<std::int64_t> numbers;
    for (const Value * const element : value->node()->inputs())
    {
      const auto number = torch::jit::toIValue(element);
      if (!number || !number->isInt())
      {
        return std::nullopt;
      }
      numbers.push_back(number->toInt());
    }
    return c10::IValue(numbers);
  }

  /** A tensor, or None as an undefined one. \return whether it is one of these, and constant */
  static bool
  readTensor(const Node & node, std::size_t input, at::ScalarType type, at::Tensor & tensor)
  {
    const auto value = constant(node, input);
    if (!value || !(value->isTensor() || value->isNone()))
    {
      return false;
    }
    tensor = value->isTensor() ? value->toTensor().to(at::kCPU, type).contiguous() : at::Tensor();
    return true;
  }

  static const Node *
  skipIdentities(const Value *& value)
  {
    for (const Node * node = value->node();; node = value->node())
    {
      const std::string kind = kindOf(*node);
      const bool offDropout = kind.find("dropout") != std::string::npos && constant(*node, 2) == c10::IValue(false);
      if (kind != "aten::contiguous" && kind != "aten::clone" && !offDropout)
      {
        return node;
      }
      value = node->inputs()[0];
    }
  }

  /** Reads one unit, from its end. \return what it is made from, or null */
  static const Value *
  readUnit(const Value * value, ChainUnit & unit)
  {
    const Node * node = skipIdentities(value);
    if (rectifiers.count(kindOf(*node)) > 0)
    {
      unit.slope = 0.0;
      if (kindOf(*node).find("leaky") != std::string::npos)
      {
        const auto slope = constant(*node, 1);
        if (!slope || !slope->isScalar())
        {
          return nullptr;
        }
        unit.slope = slope->toScalar().toDouble();
      }
      value = node->inputs()[0];
      node = skipIdentities(value);
    }
    if (kindOf(*node) == "aten::instance_norm" || kindOf(*node) == "aten::batch_norm")
    {
      if (!readNormalization(*node, unit))
      {
        return nullptr;
      }
      value = node->inputs()[0];
      node = skipIdentities(value);
    }
    return convolutions.count(kindOf(*node)) > 0 && readConvolution(*node, unit) ? node->inputs()[0] : nullptr;
  }

  /** (input, weight, bias, running mean, running variance, from the input, momentum, epsilon, cudnn) */
  static bool
  readNormalization(const Node & node, ChainUnit & unit)
  {
    const auto fromInput = constant(node, 5);
    const auto epsilon = constant(node, 7);
    const bool isInstance = kindOf(node) == "aten::instance_norm";
    if (!fromInput || *fromInput != c10::IValue(isInstance) || !epsilon || !epsilon->isDouble() ||
        !readTensor(node, 1, at::kDouble, unit.scale) || !readTensor(node, 2, at::kDouble, unit.shift))
    {
      return false;
    }
    unit.epsilon = epsilon->toDouble();
    unit.normalization = ChainUnit::Normalization::Instance;
    if (!isInstance)
    {
      at::Tensor mean;
      at::Tensor variance;
      if (!readTensor(node, 3, at::kDouble, mean) || !readTensor(node, 4, at::kDouble, variance) || !mean.defined() ||
          !variance.defined())
      {
        return false;
      }
      const at::Tensor inverse = (variance + unit.epsilon).rsqrt();
      unit.scale = unit.scale.defined() ? unit.scale * inverse : inverse;
      unit.shift = unit.shift.defined() ? unit.shift - mean * unit.scale : -mean * unit.scale;
      unit.normalization = ChainUnit::Normalization::Fixed;
    }
    return true;
  }

  /** (input, weight, bias, stride, padding, dilation, groups), or with (transposed, output padding) before the groups.
   */
  static bool
  readConvolution(const Node & node, ChainUnit & unit)
  {
    const bool general = kindOf(node).find("convolution") != std::string::npos;
    const auto groups = constant(node, general ? 8 : 6);
    if (!readTensor(node, 1, at::kFloat, unit.weight) || !unit.weight.defined() ||
        !readTensor(node, 2, at::kFloat, unit.bias) || groups != c10::IValue(1) ||
        (general && constant(node, 6) != c10::IValue(false)))
    {
      return false;
    }
    const auto axes = static_cast<std::size_t>(unit.weight.dim() - 2);
    if (axes != 2 && axes != 3)
    {
      return false;
    }
    std::size_t input = 3;
    for (auto * const numbers : { &unit.stride, &unit.padding, &unit.dilation })
    {
      const auto value = constant(node, input++);
      if (!value || !value->isIntList())
      {
        return false;
      }
      const auto list = value->toIntVector();
      if (list.size() != axes && list.size() != 1)
      {
        return false;
      }
      for (std::size_t axis = 0; axis < axes; ++axis)
      {
        (*numbers)[axis] = list.size() == 1 ? list[0] : list[axes - 1 - axis];
      }
    }
    for (std::size_t axis = 0; axis < axes; ++axis)
    {
      unit.kernel[axis] = unit.weight.size(static_cast<std::int64_t>(1 + axes - axis));
    }
    return true;
  }

  const Value * m_Image;
};

/** The values that forward() returns, one per layer. */
std::vector<const Value *>
returnedLayers(const torch::jit::Graph & graph)
{
  const Value * const        result = graph.outputs()[0];
  const Node * const         node = result->node();
  std::vector<const Value *> layers;
  if (result->type()->kind() == c10::TypeKind::TensorType)
  {
    return { result };
  }
  if (node->kind() == c10::prim::ListConstruct || node->kind() == c10::prim::TupleConstruct)
  {
    layers.assign(node->inputs().begin(), node->inputs().end());
    // Appended in the order of the graph.
    for (const Node * const other : graph.nodes())
    {
      if (kindOf(*other) == "aten::append" && other->inputs()[0] == result)
      {
        layers.push_back(other->inputs()[1]);
      }
    }
  }
  return layers;
}

std::optional<ChainDescription>
read(const torch::jit::Module & module, std::size_t numberOfLayersArgument, const std::vector<bool> & mask)
{
  const torch::jit::Module frozen = torch::jit::freeze_module(module);
  auto                     graph = frozen.get_method("forward").graph()->copy();
  if (numberOfLayersArgument > 0)
  {
    Value * const                     argument = graph->inputs()[1 + numberOfLayersArgument];
    const torch::jit::WithInsertPoint first(*graph->nodes().begin());
    argument->replaceAllUsesWith(
      graph->insertConstant(at::full({ 1 }, static_cast<std::int64_t>(mask.size()), at::kLong)));
    torch::jit::ConstantPropagation(graph);
  }
  const auto layers = returnedLayers(*graph);
  if (layers.size() < mask.size() || (layers.size() > mask.size() && numberOfLayersArgument == 0) ||
      changesThings(*graph->block(), false))
  {
    return std::nullopt;
  }

  const Reader                       reader(graph->inputs()[1]);
  std::vector<std::vector<ReadUnit>> ofLayers;
  for (std::size_t i = 0; i < mask.size(); ++i)
  {
    if (mask[i])
    {
      auto units = reader.unitsOf(layers[i]);
      if (!units || units->empty())
      {
        return std::nullopt;
      }
      ofLayers.push_back(std::move(*units));
    }
  }
  if (ofLayers.empty())
  {
    return std::nullopt;
  }
  const auto longest = *std::max_element(
    ofLayers.begin(), ofLayers.end(), [](const auto & a, const auto & b) { return a.size() < b.size(); });
  ChainDescription chain;
  for (const auto & units : ofLayers)
  {
    if (units.back().end != longest[units.size() - 1].end)
    {
      return std::nullopt; // a branch, or a layer from within a unit
    }
    chain.outputs.push_back(units.size() - 1);
  }
  for (const ReadUnit & unit : longest)
  {
    chain.units.push_back(unit.unit);
  }
  return chain;
}

} // namespace

std::optional<ChainDescription>
readChain(const torch::jit::Module & module, std::size_t numberOfLayersArgument, const std::vector<bool> & mask)
{
  try
  {
    const auto graph = module.get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    bool hasConvolution = false;
    return mayBeChain(*graph->block(), hasConvolution) && hasConvolution ? read(module, numberOfLayersArgument, mask)
                                                                         : std::nullopt;
  }
  catch (const std::exception &)
  {
    return std::nullopt; // what cannot be frozen runs as it is
  }
}

} // namespace impact
