#include "impact/models/plain_network.h"

#include "impact/models/operators_in_pieces.h"

#include <algorithm>

namespace impact
{
namespace
{

bool
repeatsItself(const torch::jit::Block & block)
{
  const auto nodes = block.nodes();
  return std::all_of(nodes.begin(), nodes.end(), [](const torch::jit::Node * node) {
    const auto blocks = node->blocks();
    return !node->isNondeterministic() &&
           std::all_of(
             blocks.begin(), blocks.end(), [](const torch::jit::Block * inner) { return repeatsItself(*inner); });
  });
}

torch::jit::Code
codeInPieces(const std::shared_ptr<torch::jit::Graph> & graph)
{
  const auto copy = graph->copy();
  runOperatorsInPieces(*copy);
  return torch::jit::Code(copy, "plain");
}

} // namespace

PlainNetwork::PlainNetwork(const std::shared_ptr<torch::jit::Graph> & graph)
  : m_Graph(graph)
  , m_Repeats(repeatsItself(*graph->block()))
  , m_TakesStatistics(graph->inputs().size() > 1)
  , m_AsItIs(graph, "plain")
  , m_InPieces(codeInPieces(graph))
{}

std::vector<at::Tensor>
PlainNetwork::run(const at::Tensor & image, const ImageContext & context) const
{
  torch::jit::Stack stack{ image };
  if (m_TakesStatistics)
  {
    stack.emplace_back(context.statistics);
  }
  torch::jit::InterpreterState(OperatorsInPieces::areWanted() ? m_InPieces : m_AsItIs).run(stack);
  std::vector<at::Tensor> layers;
  for (const c10::IValue & layer : stack.back().toTupleRef().elements())
  {
    layers.push_back(layer.toTensor());
  }
  return layers;
}

} // namespace impact
