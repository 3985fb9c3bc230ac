#pragma once

#include "geometry_kernels.h"
#include "sampling_kernels.h"
#include "spectral_kernels.h"
#include "volume_kernels.h"

namespace impact
{

/** The kind of processor that they are compiled for. */
const char * processorName();

/** The kernels compiled for this machine's processor. */
const SpectralKernels & spectralKernels();
const VolumeKernels &   volumeKernels();
const GeometryKernels & geometryKernels();
const SamplingKernels & samplingKernels();

} // namespace impact
