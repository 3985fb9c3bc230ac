#include "impact/models/network_outline.h"

#include "impact/models/layer_layout.h"
#include "impact/models/outline_operators.h"
#include "impact/models/plain_graph.h"
#include "impact/models/seen_places.h"

#include <algorithm>
#include <unordered_map>

namespace impact
{
namespace
{

using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

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
    m_Values.keep(inputs[0], at::empty(inputShape, at::dtype(at::kFloat).device(at::kMeta)), std::move(ofImage));
    for (std::size_t i = 1; i < inputs.size(); ++i)
    {
      constexpr std::int64_t statistics = 4;
      m_Values.keep(inputs[i], at::empty({ statistics }, at::dtype(at::kFloat).device(at::kMeta)), Dimensions(1));
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
        m_Values.drop(value);
      }
    }
    NetworkOutline found;
    for (const Value * const value : m_Plain.outputs()[0]->node()->inputs())
    {
      found.layers.push_back(layerOf(m_Values.tensor(value), m_Values.dimensions(value)));
    }
    found.bytes = m_Values.mostBytes();
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
  follow(const Node & node)
  {
    if (node.kind() == c10::prim::Constant)
    {
      m_Values.keepConstant(node.output(), torch::jit::toIValue(node.output()).value_or(c10::IValue()));
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
      stack.push_back(m_Values.of(input));
    }
    if (node.kind() == c10::prim::ListConstruct)
    {
      c10::impl::GenericList list(node.output()->type()->expectRef<c10::ListType>().getElementType());
      std::for_each(stack.begin(), stack.end(), [&](const c10::IValue & element) { list.push_back(element); });
      m_Values.keepOther(node.output(), list);
      return;
    }
    if (node.outputs().size() == 1)
    {
      if (const at::Tensor result = resultOf(node, nameOf(node), m_Values); result.defined())
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
      m_Values.keepOther(node.output(), stack.back());
      return;
    }
    keepResult(node, stack.back().toTensor());
  }

  void
  keepResult(const Node & node, const at::Tensor & result)
  {
    Dimensions made = m_Values.isOfImage(node) ? dimensionsOf(node, result, m_Values)
                                               : Dimensions(static_cast<std::size_t>(result.dim()));
    if (const auto * const schema = node.maybeSchema(); schema && schema->is_mutable())
    {
      m_Values.changeInPlace(node, made);
    }
    m_Values.keep(node.output(), result, std::move(made));
    if (isConvolution(nameOf(node)))
    {
      // torch lays what goes in and what comes out otherwise for it, channels by sixteens.
      const auto laidOut = [](const at::Tensor & tensor) {
        constexpr std::int64_t block = 16;
        const std::int64_t     channels = std::max<std::int64_t>(1, tensor.size(1));
        return static_cast<std::int64_t>(tensor.nbytes()) / channels * ((channels + block - 1) / block * block);
      };
      const at::Tensor before = m_Values.of(node.inputs()[0]).toTensor();
      m_Values.wantBeside(laidOut(before) + laidOut(result));
    }
  }

  /** What depends on sizes is decided. */
  void
  decide(const Node & node)
  {
    const torch::jit::Block & taken = *node.blocks()[m_Values.of(node.inputs()[0]).toBool() ? 0 : 1];
    for (const Node * const inner : taken.nodes())
    {
      follow(*inner);
    }
    for (std::size_t i = 0; i < node.outputs().size(); ++i)
    {
      m_Values.keepAs(node.outputs()[i], taken.outputs()[i]);
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
  OutlineValues                                                m_Values;
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
