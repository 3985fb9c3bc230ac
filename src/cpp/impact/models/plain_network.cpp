#include "impact/models/plain_network.h"

#include "impact/chain/convolution_chain.h"
#include "impact/models/operators_in_pieces.h"
#include "impact/models/plain_graph.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <sstream>

namespace impact
{
namespace
{

using ChainPointer = std::shared_ptr<const ConvolutionChain>;

/** The layer that a chain makes of one image's layer; the chain is told by its address. */
at::Tensor
runChain(const at::Tensor & input, const ConvolutionChain & chain)
{
  std::vector<at::Tensor> results;
  for (std::int64_t n = 0; n < input.size(0); ++n)
  {
    const at::Tensor one = input.narrow(0, n, 1);
    if (!chain.acceptsLayer(one))
    {
      throw std::runtime_error("expected more than 1 spatial element in each layer, got input of size " +
                               c10::str(input.sizes()));
    }
    results.push_back(chain.layersOf(one)[0]);
  }
  return results.size() == 1 ? results[0] : at::cat(results);
}

/** This library may be in the process twice: the name has the place of this one's. */
c10::Symbol
chainOperator()
{
  static const c10::Symbol symbol = [] {
    static const char  ours = 0;
    std::ostringstream name;
    name << "impact::run_chain_" << std::hex << reinterpret_cast<std::uintptr_t>(&ours);
    torch::jit::registerOperator(torch::jit::Operator(
      name.str() + "(Tensor input, int chain) -> Tensor",
      [](torch::jit::Stack & stack) {
        const auto       chain = reinterpret_cast<const ConvolutionChain *>(torch::jit::pop(stack).toInt());
        const at::Tensor input = torch::jit::pop(stack).toTensor();
        stack.emplace_back(runChain(input, *chain));
      },
      c10::AliasAnalysisKind::PURE_FUNCTION));
    return c10::Symbol::fromQualString(name.str());
  }();
  return symbol;
}

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

/** Whether our kernels are quicker than torch's: where convolutions go through the Fourier transform, and their weights
 * through the cache. */
bool
isWorthIt(const ChainDescription & chain)
{
  constexpr std::int64_t most = 128;
  return std::all_of(chain.units.begin(), chain.units.end(), [](const ChainUnit & unit) {
    return unit.weight.size(0) <= most && unit.weight.size(1) <= most;
  });
}

/** Has chains of convolutions run by our kernels. \return the chains */
std::vector<ChainPointer>
runChainsOurselves(const std::shared_ptr<torch::jit::Graph> & graph)
{
  std::vector<ChainPointer> chains;
  for (const ChainStretch & stretch : findStretches(*graph))
  {
    const auto dimension = static_cast<int>(stretch.description.units.front().weight.dim()) - 2;
    const auto chain =
      isWorthIt(stretch.description) ? ConvolutionChain::makeInner(stretch.description, dimension) : nullptr;
    if (chain)
    {
      const torch::jit::WithInsertPoint before(stretch.end->node());
      torch::jit::Value * const         address =
        graph->insertConstant(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(chain.get())));
      torch::jit::Node * const node = graph->insertNode(graph->create(chainOperator(), { stretch.begin, address }, 1));
      stretch.end->replaceAllUsesWith(node->output());
      chains.push_back(chain);
    }
  }
  keepWhatIsNeeded(graph); // and no checks of what lies inside them
  return chains;
}

} // namespace

PlainNetwork::PlainNetwork(const std::shared_ptr<torch::jit::Graph> & graph, bool withChains)
  : m_Repeats(repeatsItself(*graph->block()))
  , m_TakesStatistics(graph->inputs().size() > 1)
  , m_AsItIs(graph, "plain")
{
  const auto ofImages = graph->copy();
  if (withChains)
  {
    m_Chains = runChainsOurselves(ofImages);
  }
  runOperatorsInPieces(*ofImages);
  m_OfImages = torch::jit::Code(ofImages, "plain");
}

std::vector<at::Tensor>
PlainNetwork::run(const at::Tensor & image, const ImageContext & context) const
{
  torch::jit::Stack stack{ image };
  if (m_TakesStatistics)
  {
    stack.emplace_back(context.statistics);
  }
  const bool ofImage = OperatorsInPieces::areWanted() && !at::GradMode::is_enabled();
  torch::jit::InterpreterState(ofImage ? m_OfImages : m_AsItIs).run(stack);
  std::vector<at::Tensor> layers;
  for (const c10::IValue & layer : stack.back().toTupleRef().elements())
  {
    layers.push_back(layer.toTensor());
  }
  return layers;
}

} // namespace impact
