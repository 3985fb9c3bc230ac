#pragma once

#include "torch_headers.h"

namespace impact
{

/** Calls an action with all blocks that belong to a node: its own, and those of the function that it stands for or
 * hands to another thread. */
template <typename TAction>
void
forEachBlock(torch::jit::Node & node, const TAction & action)
{
  for (torch::jit::Block * const inner : node.blocks())
  {
    action(*inner);
  }
  if (node.hasAttribute(c10::attr::Subgraph))
  {
    action(*node.g(c10::attr::Subgraph)->block());
  }
  if (node.kind() == c10::prim::Constant)
  {
    if (const auto function = node.output()->type()->cast<c10::FunctionType>())
    {
      action(*torch::jit::toGraphFunction(*function->function()).graph()->block());
    }
  }
}

/** A model traced or scripted for a GPU names that GPU wherever it makes a tensor: these places get our device. */
void moveDeviceConstants(torch::jit::Block & block, at::Device device);

/** Whether a graph turns tensors into half precision by itself, so that its weights must stay in it. */
bool convertsToHalf(torch::jit::Block & block);

/** Traced convolutions have torch's switch for TF32, 10 bits of mantissa, as it was when they were traced: off. */
void convolveInSinglePrecision(torch::jit::Block & block);

/** Makes each turn of each loop ask whether time is up (TimeLimit). */
void loopsAskForTime(torch::jit::Block & block);

/** Remainders of whole numbers, which torch leaves to the processor, as what they are in terms of quotients: where the
 * divisor is zero those throw, and the processor would end the whole program. */
void takeRemaindersSafely(torch::jit::Block & block);

} // namespace impact
