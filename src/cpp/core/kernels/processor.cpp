#include "processor.h"

namespace impact
{
namespace
{

enum class Processor
{
  V1,
  V3,
  V4
};

Processor
processor()
{
  static const Processor found = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4"))
    {
      return Processor::V4;
    }
    return __builtin_cpu_supports("x86-64-v3") ? Processor::V3 : Processor::V1;
  }();
  return found;
}

template <typename Kernels>
const Kernels &
chosen(const Kernels & v1, const Kernels & v3, const Kernels & v4)
{
  return processor() == Processor::V4 ? v4 : processor() == Processor::V3 ? v3 : v1;
}

} // namespace

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

const SamplingKernels &
samplingKernels()
{
  return chosen(samplingKernelsV1, samplingKernelsV3, samplingKernelsV4);
}

const GeometryKernels &
geometryKernels()
{
  return chosen(geometryKernelsV1, geometryKernelsV3, geometryKernelsV4);
}

} // namespace impact
