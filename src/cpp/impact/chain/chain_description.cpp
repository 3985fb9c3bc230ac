#include "impact/chain/chain_description.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace impact
{
namespace
{

using torch::jit::Node;
using torch::jit::Value;
using Size = std::array<std::int64_t, 3>;

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

/** A unit, the tensor that it ends with, and what it is made from. */
struct ReadUnit
{
  ChainUnit     unit;
  const Value * end;
  const Value * begin;
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
      ReadUnit unit{ {}, value, nullptr };
      unit.begin = readUnit(value, unit.unit);
      if (!unit.begin)
      {
        return { std::vector<ReadUnit>(reversed.rbegin(), reversed.rend()), value };
      }
      value = unit.begin;
      reversed.push_back(std::move(unit));
    }
  }

  /** Whether a node may be the last of a unit. */
  static bool
  endsUnits(const Node & node)
  {
    const std::string kind = kindOf(node);
    return node.outputs().size() == 1 && (rectifiers.count(kind) > 0 || convolutions.count(kind) > 0 ||
                                          kind == "aten::instance_norm" || kind == "aten::batch_norm");
  }

  /** Reads a transposed convolution in steps as long as its kernel: (input, weight, bias, stride, padding, output
   * padding, groups, dilation), or as others have it. */
  static bool
  readUpConvolution(const Node & node, ChainUnit & unit)
  {
    const std::string kind = kindOf(node);
    const bool        general = kind == "aten::convolution" || kind == "aten::_convolution";
    const bool        isTransposed = general ? constant(node, 6) == c10::IValue(true)
                                             : kind == "aten::conv_transpose2d" || kind == "aten::conv_transpose3d";
    Size              outputPadding{ 0, 0, 0 };
    const Places      places = general ? Places{ 3, 4, 5, 8 } : Places{ 3, 4, 7, 6 };
    const Size        none{ 0, 0, 0 };
    return isTransposed && readConvolution(node, places, unit) && unit.kernel == unit.stride && unit.padding == none &&
           unit.dilation == Size{ 1, 1, 1 } &&
           readNumbers(node, general ? 7 : 5, static_cast<std::size_t>(unit.weight.dim() - 2), outputPadding) &&
           outputPadding == none;
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
    return (!general || constant(node, 6) == c10::IValue(false)) &&
           readConvolution(node, { 3, 4, 5, general ? 8U : 6U }, unit);
  }

  /** Where a kind of convolution has its arguments. */
  struct Places
  {
    std::size_t stride, padding, dilation, groups;
  };

  static bool
  readConvolution(const Node & node, const Places & places, ChainUnit & unit)
  {
    if (!readTensor(node, 1, at::kFloat, unit.weight) || !unit.weight.defined() ||
        !readTensor(node, 2, at::kFloat, unit.bias) || constant(node, places.groups) != c10::IValue(1))
    {
      return false;
    }
    const auto axes = static_cast<std::size_t>(unit.weight.dim() - 2);
    if ((axes != 2 && axes != 3) || !readNumbers(node, places.stride, axes, unit.stride) ||
        !readNumbers(node, places.padding, axes, unit.padding) ||
        !readNumbers(node, places.dilation, axes, unit.dilation))
    {
      return false;
    }
    for (std::size_t axis = 0; axis < axes; ++axis)
    {
      unit.kernel[axis] = unit.weight.size(static_cast<std::int64_t>(1 + axes - axis));
    }
    return true;
  }

  /** One number for each axis of space, or for all. */
  static bool
  readNumbers(const Node & node, std::size_t input, std::size_t axes, Size & numbers)
  {
    const auto value = constant(node, input);
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
      numbers[axis] = list.size() == 1 ? list[0] : list[axes - 1 - axis];
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

/** Whether the numbers of a value, and of those that it is made of, as far as an earlier one, are looked at once each;
 * sizes may be looked at, too, as checks do. */
bool
areLookedAtOnce(const Value * value, const Value * earlier)
{
  for (; value != earlier; value = value->node()->inputs()[0])
  {
    const auto & uses = value->uses();
    const auto   looksAtNumbers = [](const torch::jit::Use & use) {
      return use.user->kind() != c10::aten::size && use.user->kind() != c10::aten::dim;
    };
    if (std::count_if(uses.begin(), uses.end(), looksAtNumbers) != 1)
    {
      return false;
    }
  }
  return true;
}

/** Whether our kernels are worth it: all channels count, which are padded to many, and are not so many that
 * transforming their weights takes more time and memory than such layers, which are small, take in torch. */
bool
hasGoodChannels(const ChainUnit & unit)
{
  constexpr std::int64_t few = 16;
  constexpr std::int64_t manyPairs = 128 * 256;
  const std::int64_t     out = unit.weight.size(0);
  const std::int64_t     in = unit.weight.size(1);
  return out >= few && (in == 1 || in >= few) && in * out <= manyPairs;
}

/** Whether a convolution goes through the Fourier transform, which is what makes a chain quick. */
bool
isOfThrees(const ChainUnit & unit)
{
  const Size one{ 1, 1, 1 };
  const bool is2D = unit.weight.dim() == 4;
  return unit.stride == one && unit.dilation == one && unit.kernel == Size{ 3, 3, is2D ? 1 : 3 } &&
         unit.padding == Size{ 1, 1, is2D ? 0 : 1 };
}

std::vector<ChainSegment>
segmentsOf(torch::jit::Graph & graph)
{
  std::vector<ChainSegment> found;
  std::set<const Value *>   inside;
  if (changesThings(*graph.block(), false))
  {
    return found;
  }
  for (Node * const node : graph.nodes().reverse())
  {
    if (!Reader::endsUnits(*node) || inside.count(node->output()) > 0)
    {
      continue;
    }
    std::vector<ReadUnit> units = Reader::unitsOf(node->output()).units;
    ChainSegment          segment{ {}, node->output(), node->output() };
    auto                  first = units.end();
    while (first != units.begin())
    {
      const ReadUnit &    unit = *std::prev(first);
      const Value * const from = first == units.end() ? node->inputs()[0] : segment.begin;
      if (!hasGoodChannels(unit.unit) || !areLookedAtOnce(from, unit.begin))
      {
        break;
      }
      segment.begin = unit.begin;
      --first;
    }
    if (std::none_of(first, units.end(), [](const ReadUnit & unit) { return isOfThrees(unit.unit); }))
    {
      continue;
    }
    for (const Value * value = segment.end; value != segment.begin; value = value->node()->inputs()[0])
    {
      inside.insert(value);
    }
    std::transform(first, units.end(), std::back_inserter(segment.description.units), [](ReadUnit & unit) {
      return std::move(unit.unit);
    });
    segment.description.outputs = { segment.description.units.size() - 1 };
    found.push_back(std::move(segment));
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

std::vector<ChainSegment>
findSegments(torch::jit::Graph & graph)
{
  try
  {
    return segmentsOf(graph);
  }
  catch (const std::exception &)
  {
    return {}; // as above
  }
}

std::vector<FoundUpConvolution>
findUpConvolutions(torch::jit::Graph & graph)
{
  std::vector<FoundUpConvolution> found;
  try
  {
    for (Node * const node : graph.nodes())
    {
      FoundUpConvolution each{ {}, node->outputs().size() == 1 ? node->output() : nullptr };
      if (each.end && Reader::readUpConvolution(*node, each.unit) && hasGoodChannels(each.unit))
      {
        found.push_back(std::move(each));
      }
    }
  }
  catch (const std::exception &)
  {
    found.clear(); // as above
  }
  return found;
}

} // namespace impact
