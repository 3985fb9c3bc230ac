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

/** \param byKernels null, or receives what our own kernels run */
torch::jit::Code
codeInPieces(const torch::jit::Graph & graph, ChainsInGraph * byKernels)
{
  const auto copy = const_cast<torch::jit::Graph &>(graph).copy(); // which is not const in torch's interface
  if (byKernels)
  {
    *byKernels = runChainsByKernels(copy);
  }
  runOperatorsInPieces(*copy);
  return torch::jit::Code(copy, "plain");
}

} // namespace

PlainNetwork::PlainNetwork(const std::shared_ptr<const torch::jit::Graph> & graph, bool byKernels)
  : m_Graph(graph)
  , m_Repeats(repeatsItself(*graph->block()))
  , m_TakesStatistics(graph->inputs().size() > 1)
  , m_AsItIs(std::const_pointer_cast<torch::jit::Graph>(graph), "plain")
  , m_InPieces(codeInPieces(*graph, byKernels ? &m_ByKernels : nullptr))
{}

std::vector<at::Tensor>
PlainNetwork::run(const at::Tensor & image, const ImageContext & context) const
{
  torch::jit::Stack stack{ image };
  if (m_TakesStatistics)
  {
    stack.emplace_back(context.statistics);
  }
  const bool inPieces = OperatorsInPieces::areWanted() && !at::GradMode::is_enabled();
  torch::jit::InterpreterState(inPieces ? m_InPieces : m_AsItIs).run(stack);
  std::vector<at::Tensor> layers;
  for (const c10::IValue & layer : stack.back().toTupleRef().elements())
  {
    layers.push_back(layer.toTensor());
  }
  return layers;
}

} // namespace impact
