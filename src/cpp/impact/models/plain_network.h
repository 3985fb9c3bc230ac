#pragma once

#include "impact/models/model.h"

#include <torch/csrc/jit/runtime/interpreter.h>

#include <memory>
#include <vector>

namespace impact
{

/** A plain graph (plain_graph.h), ready to run: as it is, or in pieces (operators_in_pieces.h). Thread-safe. */
class PlainNetwork
{
public:
  /** \param graph its inputs are the image and, if there are more, the image's statistics */
  explicit PlainNetwork(const std::shared_ptr<torch::jit::Graph> & graph);

  std::vector<at::Tensor> run(const at::Tensor & image, const ImageContext & context) const;

  /** Whether it has no operator that draws numbers at random. */
  bool
  repeats() const
  {
    return m_Repeats;
  }

  const torch::jit::Graph &
  graph() const
  {
    return *m_Graph;
  }

private:
  std::shared_ptr<const torch::jit::Graph> m_Graph;

  bool             m_Repeats;
  bool             m_TakesStatistics;
  torch::jit::Code m_AsItIs;
  torch::jit::Code m_InPieces;
};

} // namespace impact
