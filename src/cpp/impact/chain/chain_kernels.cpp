#include "impact/chain/chain_kernels.h"

#include "impact/kernels/processor.h"

namespace impact
{

const SpectralKernels &
spectralKernels()
{
  return chosen(spectralKernelsV1, spectralKernelsV3, spectralKernelsV4);
}


const VolumeKernels &
volumeKernels()
{
  return chosen(volumeKernelsV1, volumeKernelsV3, volumeKernelsV4);
}

} // namespace impact
