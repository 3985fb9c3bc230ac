#pragma once

#include "impact/models/model.h"

#include <torch/csrc/jit/runtime/interpreter.h>

#include <memory>
#include <vector>

namespace impact
{

class ConvolutionChain;

/** A plain graph, ready to run: see plain_graph.h. On the CPU; thread-safe.
 *
 * Where operators are wanted in pieces (operators_in_pieces.h) and nothing is to be differentiated, which is for whole
 * images, chains of convolutions in it are run by our kernels. */
class PlainNetwork
{
public:
  /** \param graph its inputs are the image and, if there are more, the image's statistics
   * \param withChains false: torch runs all of it */
  PlainNetwork(const std::shared_ptr<torch::jit::Graph> & graph, bool withChains);

  std::vector<at::Tensor> run(const at::Tensor & image, const ImageContext & context) const;

  /** Whether it has no operator that draws numbers at random. */
  bool
  repeats() const
  {
    return m_Repeats;
  }

private:
  bool                                                 m_Repeats;
  bool                                                 m_TakesStatistics;
  std::vector<std::shared_ptr<const ConvolutionChain>> m_Chains; // the graph has their addresses
  torch::jit::Code                                     m_AsItIs;
  torch::jit::Code                                     m_OfImages;
};

} // namespace impact
