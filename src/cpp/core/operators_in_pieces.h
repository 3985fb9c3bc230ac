#pragma once

#include "torch_headers.h"

namespace impact
{

/** Has a model's operators that take long (convolutions, products, and what looks at each channel by itself) run in
 * pieces, from the workers, where OperatorsInPieces lives and nothing is to be differentiated; elsewhere they run as
 * they are. Pieces depend on the shapes of the tensors alone, so that the result is the same for every number of
 * threads. To be called with each block of a module before it runs. */
void runInPieces(torch::jit::Block & block);

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
