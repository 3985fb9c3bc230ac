#include "impact/models/plain_graph.h"

#include "impact/models/partial_evaluator.h"
#include "impact/runtime/torch_messages.h"

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_set>

namespace impact
{
namespace
{

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

/** The layers in what forward() returns. */
std::vector<Term>
layersOf(const Term & result)
{
  if (result.elements)
  {
    return result.elements->terms;
  }
  if (!result.value || result.value->type()->kind() != c10::TypeKind::TensorType)
  {
    throw NotPlain{ "it does not give a list of a known length" };
  }
  return { result };
}

/** Whether a node does nothing but look, and complain: it has no result, and changes nothing. */
bool
isCheck(const Node & node)
{
  const auto changes = [](const Block & block, const auto & self) -> bool {
    for (const Node * const inner : block.nodes())
    {
      const auto * const schema = inner->maybeSchema();
      if ((schema && schema->is_mutable()) || std::any_of(inner->blocks().begin(),
                                                          inner->blocks().end(),
                                                          [&](const Block * part) { return self(*part, self); }))
      {
        return true;
      }
    }
    return false;
  };
  const auto blocks = node.blocks();
  return node.outputs().empty() &&
         (node.kind() == c10::aten::warn ||
          (node.kind() == c10::prim::If &&
           std::none_of(blocks.begin(), blocks.end(), [&](const Block * part) { return changes(*part, changes); })));
}

std::shared_ptr<Graph>
evaluated(const torch::jit::Module & module, const PlainRequest & request)
{
  const auto graph = torch::jit::toGraphFunction(module.get_method("forward").function()).graph()->copy();
  torch::jit::Inline(*graph);
  const auto       plain = std::make_shared<Graph>();
  PartialEvaluator evaluator(plain);
  evaluator.set(graph->inputs()[0], Term::of(module._ivalue()));
  const auto variable = [&](std::size_t input, int rank) {
    Value * const value = plain->addInput();
    value->setType(c10::TensorType::get());
    evaluator.set(graph->inputs()[input], Term{ std::nullopt, nullptr, value, rank });
  };
  variable(1, request.rank);
  const auto & arguments = module.get_method("forward").function().getSchema().arguments();
  for (std::size_t i = 2; i < graph->inputs().size(); ++i)
  {
    const bool isGiven = i - 2 < request.arguments.size();
    if (isGiven && !request.arguments[i - 2])
    {
      variable(i, 1);
      continue;
    }
    const auto value = isGiven ? request.arguments[i - 2] : arguments[i].default_value();
    if (!value)
    {
      throw NotPlain{ "an argument is not given" };
    }
    evaluator.set(graph->inputs()[i], PartialEvaluator::termFrom(*value, arguments[i].type(), true));
  }
  const at::NoGradGuard noGradients;
  evaluator.evaluate(*graph->block());
  const std::vector<Term> layers = layersOf(evaluator.termOf(graph->outputs()[0]));
  std::vector<Value *>    wanted;
  if (request.exactly && layers.size() != request.layers.size())
  {
    throw NotPlain{ "it gives " + std::to_string(layers.size()) + " layers" };
  }
  for (std::size_t i = 0; i < request.layers.size(); ++i)
  {
    if (request.layers[i])
    {
      if (i >= layers.size())
      {
        throw NotPlain{ "it gives " + std::to_string(layers.size()) + " layers" };
      }
      wanted.push_back(evaluator.valueOf(layers[i]));
    }
  }
  plain->registerOutput(plain->insertNode(plain->createTuple(wanted))->output());
  keepWhatIsNeeded(plain);
  return plain;
}

} // namespace

void
forEachTaken(const Node & node, const std::function<void(const Value *)> & action)
{
  for (const Value * const input : node.inputs())
  {
    action(input);
  }
  for (const Block * const block : node.blocks())
  {
    for (const Node * const inner : block->nodes())
    {
      forEachTaken(*inner, action);
    }
    for (const Value * const output : block->outputs())
    {
      action(output);
    }
  }
}

void
keepWhatIsNeeded(const std::shared_ptr<Graph> & whole)
{
  Graph & graph = *whole;
  // All nodes behind some values, as far as a function says to look on.
  const auto behind = [&graph](std::vector<const Value *> values, const std::function<bool(const Value *)> & lookOn) {
    std::unordered_set<const Node *> nodes;
    while (!values.empty())
    {
      const Value * const value = values.back();
      values.pop_back();
      if (value->node()->owningBlock() == graph.block() && lookOn(value) && nodes.insert(value->node()).second)
      {
        forEachTaken(*value->node(), [&](const Value * taken) { values.push_back(taken); });
      }
    }
    return nodes;
  };
  const auto outputs = graph.outputs();
  const auto needed = behind({ outputs.begin(), outputs.end() }, [](const Value *) { return true; });

  std::vector<Node *> needless;
  for (Node * const node : graph.nodes())
  {
    std::vector<const Value *> taken;
    if (isCheck(*node))
    {
      forEachTaken(*node, [&](const Value * value) { taken.push_back(value); });
    }
    // What it looks at, through numbers, down to tensors.
    bool all = true;
    behind(taken, [&](const Value * value) {
      const bool isTensor = value->type()->kind() == c10::TypeKind::TensorType;
      all = all && (!isTensor || needed.count(value->node()) > 0 || value->node()->kind() == c10::prim::Param);
      return !isTensor;
    });
    if (!all)
    {
      needless.push_back(node);
    }
  }
  std::for_each(needless.begin(), needless.end(), [](Node * node) { node->destroy(); });
  torch::jit::EliminateDeadCode(whole);
}

std::shared_ptr<Graph>
plainGraph(const torch::jit::Module & module, const PlainRequest & request, std::string * why)
{
  std::string reason;
  try
  {
    return evaluated(module, request);
  }
  catch (const NotPlain & notPlain)
  {
    reason = notPlain.reason;
  }
  catch (const std::exception & error)
  {
    reason = firstLine(error); // of an operator that refuses its arguments
  }
  if (why)
  {
    *why = reason;
  }
  return nullptr;
}

} // namespace impact
