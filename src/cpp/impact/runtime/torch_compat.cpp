#include "impact/runtime/torch_compat.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <dlfcn.h>

#define IMPACT_TORCH_BEFORE(minor) (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < (minor))

namespace impact::compat
{
namespace
{

c10::DeviceIndex
indexOf(at::Device device)
{
  return device.has_index() ? device.index() : c10::DeviceIndex{ 0 };
}

#if IMPACT_TORCH_BEFORE(10)
/** A function of the CUDA that torch has loaded: no header of it is at hand. In elastix's process, which opens torch
 * for itself alone, it is found through the library of torch's that needs it. \return null where there is none */
template <typename Function>
Function
fromCuda(const char * name)
{
  void * const library = dlopen("libc10_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  const auto   function = reinterpret_cast<Function>(dlsym(library ? library : RTLD_DEFAULT, name));
  if (library)
  {
    dlclose(library); // torch keeps it open
  }
  return function;
}

/** What the driver says. \return free bytes and all */
std::pair<std::size_t, std::size_t>
memoryByDriver(at::Device device)
{
  using SetDevice = int (*)(int);
  using GetDevice = int (*)(int *);
  using MemoryInfo = int (*)(std::size_t *, std::size_t *);
  const auto  setDevice = fromCuda<SetDevice>("cudaSetDevice");
  const auto  getDevice = fromCuda<GetDevice>("cudaGetDevice");
  const auto  memoryInfo = fromCuda<MemoryInfo>("cudaMemGetInfo");
  std::size_t free = 0;
  std::size_t all = 0;
  int         before = 0;
  if (!setDevice || !getDevice || !memoryInfo || getDevice(&before) != 0 || setDevice(indexOf(device)) != 0)
  {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "The memory of ", device, " cannot be told.");
  }
  const int failure = memoryInfo(&free, &all);
  setDevice(before);
  TORCH_CHECK_NOT_IMPLEMENTED(failure == 0, "The memory of ", device, " cannot be told.");
  return { free, all };
}
#endif

#if IMPACT_TORCH_BEFORE(10) && !IMPACT_TORCH_BEFORE(9)
const char *
nameOf(Operation operation)
{
  return operation == Operation::All ? "all" : "conv";
}
#elif !IMPACT_TORCH_BEFORE(10)
at::Float32Op
inTorch(Operation operation)
{
  return operation == Operation::All ? at::Float32Op::ALL : at::Float32Op::CONV;
}
#endif

} // namespace

#if IMPACT_TORCH_BEFORE(9)

Precision
precisionOf(Operation operation)
{
  return operation == Operation::All            ? Precision::None
         : at::globalContext().allowTF32CuDNN() ? Precision::Tf32
                                                : Precision::Ieee;
}

void
setPrecision(Operation operation, Precision precision)
{
  if (operation == Operation::Convolution)
  {
    at::globalContext().setAllowTF32CuDNN(precision == Precision::Tf32);
  }
}

#elif IMPACT_TORCH_BEFORE(10)

Precision
precisionOf(Operation operation)
{
  const std::string name = at::globalContext().float32Precision("cuda", nameOf(operation));
  return name == "tf32" ? Precision::Tf32 : name == "ieee" ? Precision::Ieee : Precision::None;
}

void
setPrecision(Operation operation, Precision precision)
{
  const char * const name = precision == Precision::Tf32 ? "tf32" : precision == Precision::Ieee ? "ieee" : "none";
  at::globalContext().setFloat32Precision("cuda", nameOf(operation), name);
}

#else

Precision
precisionOf(Operation operation)
{
  switch (at::globalContext().float32Precision(at::Float32Backend::CUDA, inTorch(operation)))
  {
    case at::Float32Precision::TF32:
      return Precision::Tf32;
    case at::Float32Precision::NONE:
      return Precision::None;
    default:
      return Precision::Ieee;
  }
}

void
setPrecision(Operation operation, Precision precision)
{
  at::globalContext().setFloat32Precision(at::Float32Backend::CUDA,
                                          inTorch(operation),
                                          precision == Precision::Tf32   ? at::Float32Precision::TF32
                                          : precision == Precision::Ieee ? at::Float32Precision::IEEE
                                                                         : at::Float32Precision::NONE);
}

#endif

DeviceMemory
memoryOf(at::Device device)
{
#if IMPACT_TORCH_BEFORE(9)
  const auto [free, all] = memoryByDriver(device);
  const auto taken = static_cast<std::int64_t>(all - free);
  return { free, taken, taken };
#else
  constexpr auto allKinds = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  auto * const   allocator = at::getDeviceAllocator(device.type());
  const auto     statistics = allocator->getDeviceStats(indexOf(device));
#  if IMPACT_TORCH_BEFORE(10)
  const std::uint64_t free = memoryByDriver(device).first;
#  else
  const std::uint64_t free = allocator->getMemoryInfo(indexOf(device)).first;
#  endif
  return { free, statistics.allocated_bytes[allKinds].current, statistics.reserved_bytes[allKinds].current };
#endif
}

} // namespace impact::compat
