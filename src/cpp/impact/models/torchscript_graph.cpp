#include "impact/models/torchscript_graph.h"

#include "impact/models/time_limit.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <sstream>

namespace impact
{
namespace
{

/** Calls an action with all blocks that belong to a node: its own, and those of the function that it stands for or
 * hands to another thread. */
template <typename TAction>
void
forEachBlock(torch::jit::Node & node, const TAction & action)
{
  for (torch::jit::Block * const inner : node.blocks())
  {
    action(*inner);
  }
  if (node.hasAttribute(c10::attr::Subgraph))
  {
    action(*node.g(c10::attr::Subgraph)->block());
  }
  if (node.kind() == c10::prim::Constant)
  {
    if (const auto function = node.output()->type()->cast<c10::FunctionType>())
    {
      action(*torch::jit::toGraphFunction(*function->function()).graph()->block());
    }
  }
}

/** The operator that asks for the time. This library may be in the process twice, each with limits of its own: the name
 * has the place of this one's. */
c10::Symbol
timeOperator()
{
  static const c10::Symbol symbol = [] {
    static const char  ours = 0;
    std::ostringstream name;
    name << "impact::ask_for_time_" << std::hex << reinterpret_cast<std::uintptr_t>(&ours);
    torch::jit::registerOperator(torch::jit::Operator(
      name.str() + "() -> ()",
      [](torch::jit::Stack &) {
        if (TimeLimit::isOver())
        {
          throw std::runtime_error("time is up");
        }
      },
      c10::AliasAnalysisKind::CONSERVATIVE)); // so that no optimisation leaves it out
    return c10::Symbol::fromQualString(name.str());
  }();
  return symbol;
}

bool
beginsByAsking(torch::jit::Block & body)
{
  return body.nodes().begin() != body.nodes().end() && (*body.nodes().begin())->kind() == timeOperator();
}

} // namespace

void
loopsAskForTime(torch::jit::Block & block)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    forEachBlock(*node, loopsAskForTime);
    // A function that several others call is met several times.
    if (node->kind() == c10::prim::Loop && !beginsByAsking(*node->blocks()[0]))
    {
      torch::jit::Node * const question = block.owningGraph()->create(timeOperator(), 0);
      node->blocks()[0]->prependNode(question);
    }
  }
}

void
takeRemaindersSafely(torch::jit::Block & block)
{
  std::vector<torch::jit::Node *> remainders;
  for (torch::jit::Node * const node : block.nodes())
  {
    forEachBlock(*node, takeRemaindersSafely);
    const auto isWhole = [](const torch::jit::Value * value) {
      return value->type()->kind() == c10::TypeKind::IntType;
    };
    if (node->kind() == c10::aten::remainder && node->inputs().size() == 2 &&
        std::all_of(node->inputs().begin(), node->inputs().end(), isWhole))
    {
      remainders.push_back(node);
    }
  }
  for (torch::jit::Node * const node : remainders)
  {
    // a % b = a - (a // b) * b
    const torch::jit::WithInsertPoint before(node);
    torch::jit::Graph &               graph = *block.owningGraph();
    const auto insert = [&](c10::Symbol kind, torch::jit::Value * left, torch::jit::Value * right) {
      return graph.insert(kind, { left, right });
    };
    torch::jit::Value * const quotient = insert(c10::aten::floordiv, node->input(0), node->input(1));
    torch::jit::Value * const whole = insert(c10::aten::mul, quotient, node->input(1));
    node->output()->replaceAllUsesWith(insert(c10::aten::sub, node->input(0), whole));
    node->destroy();
  }
}

void
moveDeviceConstants(torch::jit::Block & block, at::Device device)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      moveDeviceConstants(*inner, device);
    }
    if (node->kind() != c10::prim::Constant)
    {
      continue;
    }
    const auto & type = node->output()->type();
    if (const auto function = type->cast<c10::FunctionType>())
    {
      moveDeviceConstants(*torch::jit::toGraphFunction(*function->function()).graph()->block(), device);
    }
    else if (type->kind() == c10::TypeKind::DeviceObjType && node->hasAttribute(c10::attr::value) &&
             at::Device(node->s(c10::attr::value)).type() != at::kMeta)
    {
      node->s_(c10::attr::value, device.str());
    }
  }
}

bool
convertsToHalf(torch::jit::Block & block)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      if (convertsToHalf(*inner))
      {
        return true;
      }
    }
    // x.half() is traced as aten::to(x, 5, ...): the number of the type.
    const auto isHalf = [](const torch::jit::Value * value) {
      return torch::jit::toIValue(value) == c10::IValue(static_cast<std::int64_t>(at::kHalf));
    };
    const auto inputs = node->inputs();
    if (node->kind() == c10::Symbol::fromQualString("aten::half") ||
        (node->kind() == c10::aten::to && std::any_of(inputs.begin() + 1, inputs.end(), isHalf)))
    {
      return true;
    }
  }
  return false;
}

void
convolveInSinglePrecision(torch::jit::Block & block)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      convolveInSinglePrecision(*inner);
    }
    const auto * const schema = node->kind() == c10::aten::_convolution ? node->maybeSchema() : nullptr;
    const auto         place = schema ? schema->argumentIndexWithName("allow_tf32") : std::nullopt;
    if (place)
    {
      const torch::jit::WithInsertPoint before(node);
      node->replaceInput(static_cast<std::size_t>(*place), block.owningGraph()->insertConstant(false));
    }
  }
}

} // namespace impact
