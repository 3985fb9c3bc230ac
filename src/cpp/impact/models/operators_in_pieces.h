#pragma once

#include "impact/runtime/torch_headers.h"

namespace impact
{

/** The same model with operators that take long (convolutions, products, and what looks at each channel by itself) in
 * pieces, which run on the workers, where OperatorsInPieces lives and nothing is to be differentiated; elsewhere they
 * run as they are. Pieces depend on the shapes of the tensors alone, so that the result is the same for every number of
 * threads. */
torch::jit::Module withOperatorsInPieces(const torch::jit::Module & module);

/** The same of a graph that calls no functions. */
void runOperatorsInPieces(torch::jit::Graph & graph);

/** Operators of this thread's models run in pieces while this lives. */
class OperatorsInPieces
{
public:
  OperatorsInPieces();
  ~OperatorsInPieces();
  OperatorsInPieces(const OperatorsInPieces &) = delete;
  OperatorsInPieces & operator=(const OperatorsInPieces &) = delete;

  static bool areWanted();

private:
  bool m_Before;
};

} // namespace impact
