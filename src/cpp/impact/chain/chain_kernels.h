#pragma once

#include "impact/chain/spectral_kernels.h"
#include "impact/chain/volume_kernels.h"

namespace impact
{

/** The kernels compiled for this machine's processor. */
const SpectralKernels & spectralKernels();
const VolumeKernels &   volumeKernels();

} // namespace impact
