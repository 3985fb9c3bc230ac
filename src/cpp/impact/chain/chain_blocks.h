#pragma once

#include "impact/chain/convolution_chain.h"

#include <array>
#include <vector>

namespace impact
{

/** A few patches at a unit of the chain. */
struct ConvolutionChain::AtUnit
{
  FloatBuffer             output; // as the convolution made it
  FloatBuffer             storage;
  std::vector<ChannelMap> maps; // one per patch
  float *                 values{ nullptr };
};

/** A few patches at every unit of the chain. What a quick first unit gives is made anew rather than fetched from
 * memory: it is kept for the block that a thread is at. */
struct ConvolutionChain::Block
{
  std::vector<AtUnit> units;
};

/** What one thread at a time works with, on its way through the chain with a block of patches. */
struct ConvolutionChain::Workspace
{
  ChainWorkspace             ofUnits;
  Block                      block;     // where it is not kept
  FloatBuffer                quick;     // the output of a quick first unit
  std::array<FloatBuffer, 2> gradients; // with respect to the output of a unit, and to its input
};

} // namespace impact
