#include "impact/models/network_outline.h"

#include "impact/models/layer_layout.h"
#include "impact/models/plain_graph.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace impact
{
namespace
{

using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

/** Thrown where the outline of a network cannot be told. */
struct NoOutline
{};

/** What the places along one dimension of a tensor see of the image: place j the image's places offset + stride * j,
 * and `reach` to each side. */
struct Along
{
  int    axis{ -1 }; // the dimension of the image; -1: none
  double stride{ 1.0 };
  double offset{ 0.0 };
  double reach{ 0.0 };
};

using Dimensions = std::vector<Along>;

/** What two values together see. */
Along
joined(const Along & a, const Along & b)
{
  if (a.axis < 0 || b.axis < 0)
  {
    return a.axis < 0 ? b : a;
  }
  if (a.axis != b.axis || a.stride != b.stride)
  {
    throw NoOutline();
  }
  const double first = std::min(a.offset - a.reach, b.offset - b.reach);
  const double last = std::max(a.offset + a.reach, b.offset + b.reach);
  return { a.axis, a.stride, 0.5 * (first + last), 0.5 * (last - first) };
}

/** Place j as what sees the places offset + stride * j and `reach` to each side of another. */
Along
through(const Along & of, double stride, double offset, double reach)
{
  return of.axis < 0
           ? of
           : Along{
               of.axis, of.stride * stride, of.offset + of.stride * offset, of.reach + std::abs(of.stride) * reach
             };
}

/** Operators that make each number of those at the same place. */
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

/** Operators that also look at the other channels of a place, or at means: of its first argument. */
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

/** The windows of a convolution or a pooling, along each dimension of space in the order of a tensor's. */
struct Windows
{
  bool                      isTransposed{ false };
  std::int64_t              outputs{ 0 }; // channels
  std::vector<std::int64_t> size;
  std::vector<std::int64_t> stride;
  std::vector<std::int64_t> padding;
  std::vector<std::int64_t> dilation;
  std::vector<std::int64_t> more; // places, of a transposed one

  std::int64_t
  extent(std::size_t axis) const
  {
    return dilation[axis] * (size[axis] - 1) + 1;
  }

  /** The places that it makes of so many. */
  std::int64_t
  after(std::size_t axis, std::int64_t places) const
  {
    const std::int64_t room = places + 2 * padding[axis] - extent(axis);
    return room < 0 ? 0 : room / stride[axis] + 1;
  }

  /** The same of a transposed one. */
  std::int64_t
  before(std::size_t axis, std::int64_t places) const
  {
    return (places - 1) * stride[axis] - 2 * padding[axis] + extent(axis) + more[axis];
  }
};

class Outliner
{
public:
  Outliner(const torch::jit::Graph & plain, const std::vector<std::int64_t> & inputShape)
    : m_Plain(plain)
    , m_Rank(inputShape.size())
  {
    findLastUses();
    const auto inputs = plain.inputs();
    Dimensions ofImage(inputShape.size());
    for (std::size_t d = 2; d < ofImage.size(); ++d)
    {
      ofImage[d].axis = static_cast<int>(d);
    }
    keep(inputs[0], at::empty(inputShape, at::dtype(at::kFloat).device(at::kMeta)), std::move(ofImage));
    for (std::size_t i = 1; i < inputs.size(); ++i)
    {
      constexpr std::int64_t statistics = 4;
      keep(inputs[i], at::empty({ statistics }, at::dtype(at::kFloat).device(at::kMeta)), Dimensions(1));
    }
  }

  NetworkOutline
  outline()
  {
    for (const Node * const node : m_Plain.nodes())
    {
      follow(*node);
      for (const Value * const value : m_UsedLastBy[node])
      {
        drop(value);
      }
    }
    NetworkOutline found;
    for (const Value * const value : m_Plain.outputs()[0]->node()->inputs())
    {
      found.layers.push_back(layerOf(m_Tensors.at(value), m_Dimensions.at(value)));
    }
    found.bytes = m_MostBytes;
    return found;
  }

private:
  /** Finds out behind which node a value is wanted no more; an element of a list is wanted as long as the list is. */
  void
  findLastUses()
  {
    const auto                                     nodes = m_Plain.nodes();
    const std::vector<const Node *>                inOrder(nodes.begin(), nodes.end());
    std::unordered_map<const Value *, std::size_t> last; // by the node's place in the order
    for (std::size_t place = inOrder.size(); place-- > 0;)
    {
      const Node & node = *inOrder[place];
      const bool   isUsedList = node.kind() == c10::prim::ListConstruct && last.count(node.output()) > 0;
      const auto   by = isUsedList ? last.at(node.output()) : place;
      forEachTaken(node, [&](const Value * value) {
        std::size_t & of = last.emplace(value, by).first->second;
        of = std::max(of, by);
      });
    }
    for (const auto & [value, place] : last)
    {
      if (value->node()->kind() != c10::prim::Constant && place + 1 < inOrder.size())
      {
        m_UsedLastBy[inOrder[place]].push_back(value);
      }
    }
  }

  void
  keep(const Value * value, const at::Tensor & tensor, Dimensions dimensions)
  {
    m_Tensors[value] = tensor;
    m_Dimensions[value] = std::move(dimensions);
    const auto * const storage = tensor.storage().unsafeGetStorageImpl();
    if (m_Holders[storage]++ == 0)
    {
      m_Bytes += static_cast<std::int64_t>(tensor.storage().nbytes());
      m_MostBytes = std::max(m_MostBytes, m_Bytes);
    }
  }

  void
  drop(const Value * value)
  {
    const auto found = m_Tensors.find(value);
    if (found == m_Tensors.end() || m_Dimensions.count(value) == 0)
    {
      return;
    }
    if (--m_Holders[found->second.storage().unsafeGetStorageImpl()] == 0)
    {
      m_Bytes -= static_cast<std::int64_t>(found->second.storage().nbytes());
    }
    m_Dimensions.erase(value);
    m_Tensors.erase(found);
  }

  /** What a value is, tensors without their numbers. */
  c10::IValue
  valueOf(const Value * value) const
  {
    if (const auto tensor = m_Tensors.find(value); tensor != m_Tensors.end())
    {
      return tensor->second;
    }
    if (const auto other = m_Others.find(value); other != m_Others.end())
    {
      return other->second;
    }
    throw NoOutline();
  }

  void
  follow(const Node & node)
  {
    if (node.kind() == c10::prim::Constant)
    {
      const c10::IValue constant = torch::jit::toIValue(node.output()).value_or(c10::IValue());
      if (constant.isTensor() && constant.toTensor().defined())
      {
        m_Tensors[node.output()] =
          at::empty(constant.toTensor().sizes(), constant.toTensor().options().device(at::kMeta));
      }
      else
      {
        m_Others[node.output()] = constant;
      }
      return;
    }
    if (node.kind() == c10::prim::If)
    {
      decide(node);
      return;
    }
    if (!node.blocks().empty() || node.kind() == c10::prim::RaiseException)
    {
      throw NoOutline();
    }
    if (node.kind() == c10::prim::TupleConstruct)
    {
      return; // the layers
    }
    Stack stack;
    for (const Value * const input : node.inputs())
    {
      stack.push_back(valueOf(input));
    }
    if (node.kind() == c10::prim::ListConstruct)
    {
      c10::impl::GenericList list(node.output()->type()->expectRef<c10::ListType>().getElementType());
      std::for_each(stack.begin(), stack.end(), [&](const c10::IValue & element) { list.push_back(element); });
      m_Others[node.output()] = list;
      return;
    }
    if (node.outputs().size() == 1)
    {
      if (const at::Tensor result = resultOf(node, nameOf(node)); result.defined())
      {
        keepResult(node, result);
        return;
      }
    }
    node.getOperation()(stack);
    const auto outputs = node.outputs();
    if (outputs.size() > 1 || stack.size() != outputs.size())
    {
      throw NoOutline();
    }
    if (outputs.empty())
    {
      return;
    }
    if (!stack.back().isTensor())
    {
      m_Others[node.output()] = stack.back();
      return;
    }
    keepResult(node, stack.back().toTensor());
  }

  void
  keepResult(const Node & node, const at::Tensor & result)
  {
    Dimensions made = isOfImage(node) ? dimensionsOf(node, result) : Dimensions(static_cast<std::size_t>(result.dim()));
    if (const auto * const schema = node.maybeSchema(); schema && schema->is_mutable())
    {
      changeInPlace(node, made);
    }
    keep(node.output(), result, std::move(made));
    if (isConvolution(nameOf(node)))
    {
      // torch lays what goes in and what comes out otherwise for it, channels by sixteens.
      const auto laidOut = [](const at::Tensor & tensor) {
        constexpr std::int64_t block = 16;
        const std::int64_t     channels = std::max<std::int64_t>(1, tensor.size(1));
        return static_cast<std::int64_t>(tensor.nbytes()) / channels * ((channels + block - 1) / block * block);
      };
      const at::Tensor before = valueOf(node.inputs()[0]).toTensor();
      m_MostBytes = std::max(m_MostBytes, m_Bytes + laidOut(before) + laidOut(result));
    }
  }

  static std::string
  nameOf(const Node & node)
  {
    const std::string name = node.kind().toUnqualString();
    return name.size() > 1 && name.back() == '_' ? name.substr(0, name.size() - 1) : name;
  }

  /** A tensor as an operator makes it, without its numbers: not all operators can do that themselves. Undefined where
   * they can. */
  at::Tensor
  resultOf(const Node & node, const std::string & name) const
  {
    static const std::set<std::string> same{ "contiguous", "detach", "dropout", "feature_dropout", "float", "to" };
    const auto * const                 schema = node.maybeSchema();
    const bool                         isKnown =
      isElementwise(name) || keepsPlaces(name) || isConvolution(name) || isPool(name) || name == "flip";
    if (!isKnown || !schema)
    {
      return {};
    }
    const c10::IValue first = valueOf(node.inputs()[0]);
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
        if (const c10::IValue value = valueOf(input); value.isTensor())
        {
          size = at::infer_size(size, value.toTensor().sizes());
        }
      }
    }
    else if (isConvolution(name))
    {
      const Windows windows = windowsOfConvolution(node, name);
      size.at(1) = windows.outputs;
      for (std::size_t axis = 0; axis < windows.size.size(); ++axis)
      {
        size.at(axis + 2) =
          windows.isTransposed ? windows.before(axis, size[axis + 2]) : windows.after(axis, size[axis + 2]);
      }
    }
    else if (isPool(name))
    {
      const Windows windows = windowsOfPool(node, size.size() - 2);
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

  /** What depends on sizes is decided. */
  void
  decide(const Node & node)
  {
    const torch::jit::Block & taken = *node.blocks()[valueOf(node.inputs()[0]).toBool() ? 0 : 1];
    for (const Node * const inner : taken.nodes())
    {
      follow(*inner);
    }
    for (std::size_t i = 0; i < node.outputs().size(); ++i)
    {
      const Value * const from = taken.outputs()[i];
      const Value * const to = node.outputs()[i];
      if (const auto tensor = m_Tensors.find(from); tensor != m_Tensors.end())
      {
        keep(to, tensor->second, dimensions(from));
      }
      else
      {
        m_Others[to] = valueOf(from);
      }
    }
  }

  /** Whether some input has places of the image. */
  bool
  isOfImage(const Node & node) const
  {
    const auto inputs = node.inputs();
    return std::any_of(inputs.begin(), inputs.end(), [this](const Value * input) {
      if (input->node()->kind() == c10::prim::ListConstruct)
      {
        return isOfImage(*input->node());
      }
      const auto found = m_Dimensions.find(input);
      return found != m_Dimensions.end() && std::any_of(found->second.begin(),
                                                        found->second.end(),
                                                        [](const Along & along) { return along.axis >= 0; });
    });
  }

  /** What is changed in place sees what its new numbers do, if nothing else shares them. */
  void
  changeInPlace(const Node & node, const Dimensions & made)
  {
    const Value * const changed = node.inputs()[0];
    const auto          found = m_Tensors.find(changed);
    const bool          isShared = found != m_Tensors.end() && m_Dimensions.count(changed) > 0 &&
                                   m_Holders.at(found->second.storage().unsafeGetStorageImpl()) > 1;
    const auto          before = m_Dimensions.find(changed);
    if (before == m_Dimensions.end() || before->second.size() != made.size())
    {
      throw NoOutline();
    }
    for (std::size_t d = 0; d < made.size(); ++d)
    {
      const bool isSame = before->second[d].axis == made[d].axis && before->second[d].offset == made[d].offset &&
                          before->second[d].reach == made[d].reach;
      if (!isSame && isShared)
      {
        throw NoOutline();
      }
    }
    before->second = made;
  }

  c10::IValue
  argument(const Node & node, const std::string & name) const
  {
    const auto place = node.schema().argumentIndexWithName(name);
    return place ? valueOf(node.inputs()[static_cast<std::size_t>(*place)]) : c10::IValue();
  }

  /** Numbers of a list, one for each dimension of space; of one number, that for all. */
  std::vector<std::int64_t>
  numbers(const Node & node, const std::string & name, std::size_t count, std::int64_t otherwise) const
  {
    const c10::IValue         value = argument(node, name);
    std::vector<std::int64_t> list;
    if (value.isIntList())
    {
      list = value.toIntVector();
    }
    else if (value.isInt())
    {
      list = { value.toInt() };
    }
    if (list.empty())
    {
      list = { otherwise };
    }
    list.resize(count, list.front());
    return list;
  }

  const Dimensions &
  dimensions(const Value * value) const
  {
    const auto found = m_Dimensions.find(value);
    if (found == m_Dimensions.end())
    {
      throw NoOutline();
    }
    return found->second;
  }

  static std::size_t
  placeOf(std::int64_t dim, std::size_t rank)
  {
    return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim);
  }

  /** What the places of a result see. */
  Dimensions
  dimensionsOf(const Node & node, const at::Tensor & result) const
  {
    const std::string name = nameOf(node);
    const auto        rank = static_cast<std::size_t>(result.dim());
    if (isElementwise(name))
    {
      return broadcast(node, result);
    }
    if (name == "cat")
    {
      return concatenated(node, rank);
    }
    Dimensions made = dimensions(node.inputs()[0]);
    if (keepsPlaces(name))
    {
      return made;
    }
    if (isConvolution(name))
    {
      look(windowsOfConvolution(node, name), made);
    }
    else if (isPool(name))
    {
      look(windowsOfPool(node, made.size() - 2), made);
    }
    else if (name.rfind("upsample_", 0) == 0)
    {
      resize(node, name, result, made);
    }
    else if (name == "pad" || name == "constant_pad_nd" || name.rfind("reflection_pad", 0) == 0 ||
             name.rfind("replication_pad", 0) == 0)
    {
      const auto padding = argument(node, name == "pad" || name == "constant_pad_nd" ? "pad" : "padding").toIntVector();
      for (std::size_t pair = 0; pair < padding.size() / 2; ++pair)
      {
        Along & along = made.at(made.size() - 1 - pair);
        along = through(along, 1.0, -static_cast<double>(padding[2 * pair]), 0.0);
      }
    }
    else
    {
      rearrange(node, name, result, made);
    }
    if (made.size() != rank)
    {
      throw NoOutline();
    }
    return made;
  }

  Dimensions
  broadcast(const Node & node, const at::Tensor & result) const
  {
    const auto rank = static_cast<std::size_t>(result.dim());
    Dimensions made(rank);
    for (const Value * const input : node.inputs())
    {
      const auto found = m_Dimensions.find(input);
      if (found == m_Dimensions.end())
      {
        continue; // of no image
      }
      const at::Tensor & tensor = m_Tensors.at(input);
      const std::size_t  missing = rank - found->second.size();
      for (std::size_t d = 0; d < found->second.size(); ++d)
      {
        const auto of = static_cast<std::int64_t>(d);
        if (tensor.size(of) == result.size(static_cast<std::int64_t>(missing + d)))
        {
          made[missing + d] = joined(made[missing + d], found->second[d]);
        }
      }
    }
    return made;
  }

  Dimensions
  concatenated(const Node & node, std::size_t rank) const
  {
    const auto dim = placeOf(argument(node, "dim").toInt(), rank);
    Dimensions made(rank);
    for (const Value * const part : node.inputs()[0]->node()->inputs())
    {
      const bool       isConstant = part->node()->kind() == c10::prim::Constant;
      const Dimensions of = isConstant ? Dimensions(rank) : dimensions(part);
      for (std::size_t d = 0; d < rank; ++d)
      {
        made[d] = joined(made[d], of.at(d));
      }
    }
    if (made.at(dim).axis >= 0)
    {
      throw NoOutline(); // images side by side
    }
    return made;
  }

  Windows
  windowsOfConvolution(const Node & node, const std::string & name) const
  {
    const at::Tensor  weight = argument(node, "weight").toTensor();
    const auto        axes = static_cast<std::size_t>(weight.dim() - 2);
    const c10::IValue transposed = argument(node, "transposed");
    Windows           windows;
    windows.isTransposed = name.find("transpose") != std::string::npos || (transposed.isBool() && transposed.toBool());
    windows.size = weight.sizes().slice(2).vec();
    windows.stride = numbers(node, "stride", axes, 1);
    windows.padding = numbers(node, "padding", axes, 0);
    windows.dilation = numbers(node, "dilation", axes, 1);
    windows.more = numbers(node, "output_padding", axes, 0);
    windows.outputs = windows.isTransposed ? weight.size(1) * argument(node, "groups").toInt() : weight.size(0);
    if (argument(node, "padding").isString())
    {
      throw NoOutline();
    }
    return windows;
  }

  Windows
  windowsOfPool(const Node & node, std::size_t axes) const
  {
    Windows    windows;
    const auto stride = argument(node, "stride");
    const bool isGiven = stride.isInt() || (stride.isIntList() && !stride.toIntVector().empty());
    windows.size = numbers(node, "kernel_size", axes, 1);
    windows.stride = isGiven ? numbers(node, "stride", axes, 1) : windows.size;
    windows.padding = numbers(node, "padding", axes, 0);
    windows.dilation = numbers(node, "dilation", axes, 1);
    if (argument(node, "ceil_mode").toBool())
    {
      throw NoOutline();
    }
    return windows;
  }

  static void
  look(const Windows & windows, Dimensions & made)
  {
    if (made.size() != windows.size.size() + 2)
    {
      throw NoOutline();
    }
    for (std::size_t axis = 0; axis < windows.size.size(); ++axis)
    {
      const double reach = 0.5 * static_cast<double>(windows.extent(axis) - 1);
      const double first = reach - static_cast<double>(windows.padding[axis]); // the middle of what place 0 sees
      const auto   stride = static_cast<double>(windows.stride[axis]);
      Along &      along = made[axis + 2];
      along = windows.isTransposed ? through(along, 1.0 / stride, -first / stride, reach / stride)
                                   : through(along, stride, first, reach);
    }
  }

  void
  resize(const Node & node, const std::string & name, const at::Tensor & result, Dimensions & made) const
  {
    const c10::IValue corners = argument(node, "align_corners");
    if (corners.isBool() && corners.toBool())
    {
      throw NoOutline();
    }
    const at::Tensor & of = m_Tensors.at(node.inputs()[0]);
    const double       reach = name.find("nearest") != std::string::npos ? 0.5
                               : name.find("cubic") != std::string::npos ? 2.0
                                                                         : 1.0;
    for (std::int64_t d = 2; d < of.dim(); ++d)
    {
      const double ratio = static_cast<double>(of.size(d)) / static_cast<double>(result.size(d));
      Along &      along = made[static_cast<std::size_t>(d)];
      along = through(along, ratio, 0.5 * ratio - 0.5, of.size(d) == result.size(d) ? 0.0 : reach);
    }
  }

  /** What leaves numbers as they are and puts them elsewhere. */
  void
  rearrange(const Node & node, const std::string & name, const at::Tensor & result, Dimensions & made) const
  {
    const at::Tensor & of = m_Tensors.at(node.inputs()[0]);
    const std::size_t  rank = made.size();
    const auto dimOf = [&](const char * argumentName) { return placeOf(argument(node, argumentName).toInt(), rank); };
    if (name == "permute")
    {
      const Dimensions before = made;
      const auto       order = argument(node, "dims").toIntVector();
      for (std::size_t d = 0; d < order.size(); ++d)
      {
        made.at(d) = before.at(placeOf(order[d], rank));
      }
    }
    else if (name == "transpose")
    {
      std::swap(made.at(dimOf("dim0")), made.at(dimOf("dim1")));
    }
    else if (name == "flip")
    {
      for (const std::int64_t dim : argument(node, "dims").toIntVector())
      {
        Along & along = made.at(placeOf(dim, rank));
        along = through(along, -1.0, static_cast<double>(of.size(dim) - 1), 0.0);
      }
    }
    else if (name == "slice" || name == "narrow")
    {
      const auto         dim = dimOf("dim");
      const c10::IValue  start = argument(node, "start");
      const std::int64_t size = of.size(static_cast<std::int64_t>(dim));
      std::int64_t       first = start.isInt() ? start.toInt() : 0;
      first = std::clamp<std::int64_t>(first < 0 ? first + size : first, 0, size);
      const c10::IValue step = name == "slice" ? argument(node, "step") : c10::IValue(1);
      made.at(dim) = through(made.at(dim), static_cast<double>(step.toInt()), static_cast<double>(first), 0.0);
    }
    else if (name == "select")
    {
      made.erase(made.begin() + static_cast<std::ptrdiff_t>(dimOf("dim")));
    }
    else if (name == "unsqueeze")
    {
      made.insert(made.begin() + static_cast<std::ptrdiff_t>(placeOf(argument(node, "dim").toInt(), rank + 1)),
                  Along());
    }
    else if (name == "one_hot")
    {
      made.emplace_back();
    }
    else if (name == "argmax" || name == "argmin" || name == "squeeze" || name == "mean" || name == "sum" ||
             name == "std" || name == "var" || name == "amax" || name == "amin")
    {
      reduce(node, result, made);
    }
    else
    {
      throw NoOutline();
    }
  }

  /** What is taken together along some dimensions. */
  void
  reduce(const Node & node, const at::Tensor & result, Dimensions & made) const
  {
    c10::IValue which = argument(node, "dim");
    which = which.isNone() && node.schema().argumentIndexWithName("dims") ? argument(node, "dims") : which;
    std::set<std::size_t> dims;
    if (which.isInt())
    {
      dims.insert(placeOf(which.toInt(), made.size()));
    }
    else if (which.isIntList())
    {
      for (const std::int64_t dim : which.toIntVector())
      {
        dims.insert(placeOf(dim, made.size()));
      }
    }
    for (std::size_t d = 0; d < made.size(); ++d)
    {
      made[d] = which.isNone() || dims.count(d) > 0 ? Along() : made[d];
    }
    if (static_cast<std::size_t>(result.dim()) != made.size())
    {
      for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim)
      {
        made.erase(made.begin() + static_cast<std::ptrdiff_t>(*dim));
      }
    }
    if (static_cast<std::size_t>(result.dim()) != made.size())
    {
      made.assign(static_cast<std::size_t>(result.dim()), Along());
    }
  }

  NetworkOutline::Layer
  layerOf(const at::Tensor & layer, const Dimensions & dims) const
  {
    const std::size_t rank = m_Rank;
    if (dims.size() != rank)
    {
      throw NoOutline();
    }
    NetworkOutline::Layer found{ layer.size(1), spatialSize(layer), LayerLayout() };
    for (std::size_t d = 2; d < rank; ++d)
    {
      if (dims[d].axis != static_cast<int>(d) || dims[d].stride <= 0.0)
      {
        found.layout.reset();
        return found;
      }
      const std::size_t axis = rank - 1 - d;
      found.layout->stride[axis] = dims[d].stride;
      found.layout->offset[axis] = dims[d].offset;
      found.layout->reach[axis] = dims[d].reach;
    }
    return found;
  }

  const torch::jit::Graph &                                    m_Plain;
  std::size_t                                                  m_Rank;
  std::unordered_map<const Node *, std::vector<const Value *>> m_UsedLastBy;
  std::unordered_map<const Value *, at::Tensor>                m_Tensors;
  std::unordered_map<const Value *, Dimensions>                m_Dimensions; // of those that are no constants
  std::unordered_map<const Value *, c10::IValue>               m_Others;
  std::unordered_map<const c10::StorageImpl *, int>            m_Holders;
  std::int64_t                                                 m_Bytes{ 0 };
  std::int64_t                                                 m_MostBytes{ 0 };
};

} // namespace

std::optional<NetworkOutline>
outlineOf(const torch::jit::Graph & plain, const std::vector<std::int64_t> & inputShape)
{
  try
  {
    const at::NoGradGuard noGradients;
    return Outliner(plain, inputShape).outline();
  }
  catch (const NoOutline &)
  {
    return std::nullopt;
  }
  catch (const std::exception &)
  {
    return std::nullopt; // an operator that needs numbers, or refuses the size
  }
}

} // namespace impact
