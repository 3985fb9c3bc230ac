#include "impact/models/chains_in_graph.h"

#include "impact/models/plain_graph.h"

#include <sstream>

namespace impact
{
namespace
{

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

at::Tensor
run(const ConvolutionChain & chain, std::vector<at::Tensor> parts)
{
  return chain.last(std::move(parts));
}

at::Tensor
run(const UpConvolution & up, const std::vector<at::Tensor> & parts)
{
  return up.of(parts.front());
}

/** The operator that runs what it is told the place in memory of. This library may be in the process twice: the name
 * has the place of this one's. */
template <typename T>
c10::Symbol
operatorFor(const char * name)
{
  static const char        ours = 0;
  static const c10::Symbol made = [name] {
    std::ostringstream whole;
    whole << "impact::" << name << "_" << std::hex << reinterpret_cast<std::uintptr_t>(&ours);
    torch::jit::registerOperator(torch::jit::Operator(
      whole.str() + "(Tensor[] parts, int place) -> Tensor",
      [](torch::jit::Stack & stack) {
        const auto * const place = reinterpret_cast<const T *>(torch::jit::pop(stack).toInt());
        auto               parts = torch::jit::pop(stack).toTensorVector();
        stack.emplace_back(run(*place, std::move(parts)));
      },
      c10::AliasAnalysisKind::FROM_SCHEMA));
    return c10::Symbol::fromQualString(whole.str());
  }();
  return made;
}

template <typename T>
void
replace(Graph & graph, Value * end, const std::vector<Value *> & parts, const char * name, const T & by)
{
  const torch::jit::WithInsertPoint here(end->node());
  Value * const                     place = graph.insertConstant(reinterpret_cast<std::int64_t>(&by));
  Value * const                     list = graph.insertNode(graph.createList(c10::TensorType::get(), parts))->output();
  Node * const                      node = graph.insertNode(graph.create(operatorFor<T>(name), { list, place }, 1));
  node->output()->copyMetadata(end);
  end->replaceAllUsesWith(node->output());
}

/** A value, or what its channels are put together from. */
std::vector<Value *>
partsOf(Value * value)
{
  Node & node = *value->node();
  if (node.kind() == c10::aten::cat && torch::jit::toIValue(node.inputs()[1]) == c10::IValue(1) &&
      node.inputs()[0]->node()->kind() == c10::prim::ListConstruct)
  {
    return node.inputs()[0]->node()->inputs().vec();
  }
  return { value };
}

} // namespace

ChainsInGraph
runChainsByKernels(const std::shared_ptr<Graph> & graph)
{
  ChainsInGraph found;
  const auto    memory = std::make_shared<Pool<ChainWorkspace>>();
  for (const ChainSegment & segment : findSegments(*graph))
  {
    if (auto chain = ConvolutionChain::ofChannels(segment.description, memory))
    {
      replace(*graph, segment.end, partsOf(const_cast<Value *>(segment.begin)), "convolution_chain", *chain);
      found.chains.push_back(std::move(chain));
    }
  }
  if (found.chains.empty())
  {
    return found;
  }
  for (const FoundUpConvolution & each : findUpConvolutions(*graph))
  {
    auto up = std::make_shared<const UpConvolution>(each.unit);
    replace(*graph, each.end, { each.end->node()->inputs()[0] }, "up_convolution", *up);
    found.betweenChains.push_back(std::move(up));
  }
  keepWhatIsNeeded(graph);
  return found;
}

} // namespace impact
