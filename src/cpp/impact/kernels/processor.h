#pragma once

#include "impact/kernels/geometry_kernels.h"
#include "impact/kernels/sampling_kernels.h"

namespace impact
{

/** The kinds of processor that kernels are compiled for: their level of x86-64. */
enum class Processor
{
  V1,
  V3,
  V4
};

/** The kind of this machine's processor, or the lesser one that IMPACT_PROCESSOR asks for.
 * \throws Error for a value of it that is unknown. */
Processor processor();

const char * processorName();

/** Of the same kernels, compiled for each kind, those for this machine's. */
template <typename Kernels>
const Kernels &
chosen(const Kernels & v1, const Kernels & v3, const Kernels & v4)
{
  return processor() == Processor::V4 ? v4 : processor() == Processor::V3 ? v3 : v1;
}

const GeometryKernels & geometryKernels();
const SamplingKernels & samplingKernels();

} // namespace impact
