#pragma once

#include "impact/models/chains_in_graph.h"
#include "impact/models/model.h"

#include <torch/csrc/jit/runtime/interpreter.h>

#include <memory>
#include <vector>

namespace impact
{

/** A plain graph (plain_graph.h), ready to run: as it is; or, where no gradients are wanted, in pieces
 * (operators_in_pieces.h), and its chains of convolutions by our own kernels. Thread-safe. */
class PlainNetwork
{
public:
  /** \param graph its inputs are the image and, if there are more, the image's statistics
   * \param byKernels runs chains within it by our own kernels: on the CPU, in single precision */
  PlainNetwork(const std::shared_ptr<const torch::jit::Graph> & graph, bool byKernels);

  std::vector<at::Tensor> run(const at::Tensor & image, const ImageContext & context) const;

  /** Whether it has no operator that draws numbers at random. */
  bool
  repeats() const
  {
    return m_Repeats;
  }

  /** How many chains within it are run by our own kernels. */
  std::size_t
  numberOfChains() const
  {
    return m_ByKernels.chains.size();
  }

  const std::shared_ptr<const torch::jit::Graph> &
  graph() const
  {
    return m_Graph;
  }

private:
  std::shared_ptr<const torch::jit::Graph> m_Graph;
  ChainsInGraph                            m_ByKernels; // of m_InPieces

  bool             m_Repeats;
  bool             m_TakesStatistics;
  torch::jit::Code m_AsItIs;
  torch::jit::Code m_InPieces;
};

} // namespace impact
