#include "impact/chain/chain_kernels.h"

#include "impact/kernels/processor.h"

namespace impact
{

const SpectralKernels &
spectralKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(spectralKernels));
}


const VolumeKernels &
volumeKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(volumeKernels));
}

} // namespace impact
