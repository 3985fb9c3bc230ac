#pragma once

#include "impact/chain/chain_description.h"

namespace impact
{

/** A transposed convolution that makes of each voxel a block of voxels of its own, run by our kernels. Thread-safe. */
class UpConvolution
{
public:
  /** \param description with weights in x out x (z) x y x x, in steps as long as its kernel */
  explicit UpConvolution(const ChainUnit & description);

  /** \param images N x C x (z) x y x x, float
   * \return the same, larger, the channels of a voxel side by side in memory */
  at::Tensor of(const at::Tensor & images) const;

private:
  std::array<std::int64_t, 3> m_Block;    // along x, y, z
  std::int64_t                m_In;       // padded
  std::int64_t                m_Channels; // of the output
  std::int64_t                m_Columns;  // of all voxels of a block, padded
  at::Tensor                  m_Weights;  // in x columns
  at::Tensor                  m_Bias;     // columns
};

} // namespace impact
