#pragma once

#include "impact/chain/convolution_chain.h"
#include "impact/chain/up_convolution.h"

#include <memory>
#include <vector>

namespace impact
{

/** What of a graph our own kernels run. Whoever runs the graph must keep it. */
struct ChainsInGraph
{
  std::vector<std::shared_ptr<const ConvolutionChain>> chains;
  std::vector<std::shared_ptr<const UpConvolution>>    betweenChains; // none without chains
};

/** Has the chains of convolutions within a plain graph (plain_graph.h) run by our own kernels, and what makes the
 * larger images of a decoder: each becomes one operator, which knows no gradients. What that gives is to be compared
 * with what the graph gave before. */
ChainsInGraph runChainsByKernels(const std::shared_ptr<torch::jit::Graph> & graph);

} // namespace impact
