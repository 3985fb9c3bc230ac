#include "impact/chain/chain_description.h"

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
changesThings(const torch::jit::Block & block, bool inner)
{
  for (const Node * const node : block.nodes())
  {
    for (const torch::jit::Block * const part : node->blocks())
    {
      if (changesThings(*part, true))
      {
        return true;
      }
    }
    const auto * const schema = node->maybeSchema();
    if (schema && schema->is_mutable())
    {
      if (inner || rectifiers.count(kindOf(*node)) == 0)
      {
        return true;
      }
    }
  }
  return false;
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
  /** The units that make a tensor, back to what is made by no unit. */
  struct Units
  {
    std::vector<ReadUnit> units;
    const Value *         begin;
  };

  static Units
  unitsOf(const Value * value)
  {
    std::vector<ReadUnit> reversed;
    for (skipIdentities(value);; skipIdentities(value))
    {
      ReadUnit            unit{ {}, value };
      const Value * const before = readUnit(value, unit.unit);
      if (!before)
      {
        return { std::vector<ReadUnit>(reversed.rbegin(), reversed.rend()), value };
      }
      value = before;
      reversed.push_back(std::move(unit));
    }
  }

  /** Goes back to what axes were turned of. \return whether any were */
  static bool
  skipTurns(const Value *& value)
  {
    const std::set<std::string> turns{ "aten::permute", "aten::flip", "aten::transpose", "aten::movedim" };
    bool                        any = false;
    for (const Node * node = skipIdentities(value); turns.count(kindOf(*node)) > 0; node = skipIdentities(value))
    {
      any = true;
      value = node->inputs()[0];
    }
    return any;
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
};

std::optional<FoundChain>
find(const torch::jit::Graph & graph)
{
  const Node & result = *graph.outputs()[0]->node();
  if (result.kind() != c10::prim::TupleConstruct || changesThings(*graph.block(), false))
  {
    return std::nullopt;
  }
  FoundChain                         found{};
  std::vector<std::vector<ReadUnit>> ofLayers;
  for (const Value * layer : result.inputs())
  {
    found.turns = Reader::skipTurns(layer) || found.turns;
    auto read = Reader::unitsOf(layer);
    if (read.units.empty() || (!ofLayers.empty() && read.begin != found.begin))
    {
      return std::nullopt;
    }
    found.begin = read.begin;
    ofLayers.push_back(std::move(read.units));
  }
  if (ofLayers.empty())
  {
    return std::nullopt;
  }
  const auto longest = *std::max_element(
    ofLayers.begin(), ofLayers.end(), [](const auto & a, const auto & b) { return a.size() < b.size(); });
  ChainDescription & chain = found.description;
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
  return found;
}

} // namespace

std::optional<FoundChain>
findChain(const torch::jit::Graph & graph)
{
  try
  {
    return find(graph);
  }
  catch (const std::exception &)
  {
    return std::nullopt; // arguments of another kind than torch's operators have: the network runs as it is
  }
}

} // namespace impact
