#include "impact/kernels/processor.h"

#include "impact/base/error.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace impact
{

Processor
processor()
{
  static const Processor found = [] {
#ifdef __x86_64__
    __builtin_cpu_init();
    const Processor here = __builtin_cpu_supports("x86-64-v4")   ? Processor::V4
                           : __builtin_cpu_supports("x86-64-v3") ? Processor::V3
                                                                 : Processor::V1;
#else
    const Processor here = Processor::V1;
#endif
    // Results differ in their last bits from one kind to another: who compares machines may ask for the lesser one's.
    const char * const wanted = std::getenv("IMPACT_PROCESSOR");
    const std::string  name = wanted ? wanted : "";
    if (name == "x86-64-v3")
    {
      return std::min(here, Processor::V3);
    }
    if (!name.empty() && name != "x86-64" && name != "x86-64-v4")
    {
      throw Error("The environment variable IMPACT_PROCESSOR is \"" + name + "\".",
                  "Allowed: x86-64, x86-64-v3, x86-64-v4, the most that is used of the processor; or unset.");
    }
    return name == "x86-64" ? Processor::V1 : here;
  }();
  return found;
}


const char *
processorName()
{
#ifdef __x86_64__
  return processor() == Processor::V4 ? "x86-64-v4" : processor() == Processor::V3 ? "x86-64-v3" : "x86-64";
#else
  return "armv8-a";
#endif
}

const BendingKernels &
bendingKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(bendingKernels));
}

const SamplingKernels &
samplingKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(samplingKernels));
}

const MindKernels &
mindKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(mindKernels));
}

const GeometryKernels &
geometryKernels()
{
  return chosen(IMPACT_OF_EACH_KIND(geometryKernels));
}

} // namespace impact
