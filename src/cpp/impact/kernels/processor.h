#pragma once

#include "impact/kernels/bending_kernels.h"
#include "impact/kernels/geometry_kernels.h"
#include "impact/kernels/mind_kernels.h"
#include "impact/kernels/sampling_kernels.h"

#include <cstddef>

namespace impact
{

/** The kinds of processor that kernels are compiled for: their level of x86-64. Of other processors there is one kind,
 * the first. */
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

// The same kernels, compiled for each kind.
#ifdef __x86_64__
#  define IMPACT_OF_EACH_KIND(kernels) kernels##V1, kernels##V3, kernels##V4
#else
#  define IMPACT_OF_EACH_KIND(kernels) kernels##V1
#endif

/** Of the same kernels, compiled for each kind, those for this machine's. */
template <typename Kernels, typename... Others>
const Kernels &
chosen(const Kernels & v1, const Others &... others)
{
  const Kernels * const of[]{ &v1, &others... };
  return *of[static_cast<std::size_t>(processor())];
}

const BendingKernels &  bendingKernels();
const GeometryKernels & geometryKernels();
const MindKernels &     mindKernels();
const SamplingKernels & samplingKernels();

} // namespace impact
