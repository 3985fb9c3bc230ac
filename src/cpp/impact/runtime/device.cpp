#include "impact/runtime/device.h"

#include "impact/api/messages.h"
#include "impact/base/memory.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/cuda.h>

#include <algorithm>
#include <limits>
#include <new>

namespace impact
{
namespace
{

bool
says(const std::exception & error, std::initializer_list<const char *> parts)
{
  const std::string text = error.what();
  return std::any_of(
    parts.begin(), parts.end(), [&text](const char * part) { return text.find(part) != std::string::npos; });
}

/** The line of a torch error that has the reason, without the C++ stack and the advice on debugging that follow. */
std::string
reasonOf(const std::exception & error)
{
  const std::string text = messageOf(error);
  std::size_t       begin = 0;
  for (const char * const part : { "CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS" })
  {
    if (const auto place = text.find(part); place != std::string::npos)
    {
      begin = place;
      break;
    }
  }
  return text.substr(begin, text.find('\n', begin) - begin);
}

} // namespace

at::DeviceType
kindOfGpu()
{
  return c10::is_privateuse1_backend_registered() ? at::kPrivateUse1 : at::kCUDA;
}

int
numberOfGpus()
{
  const at::DeviceType kind = kindOfGpu();
  if (kind == at::kCUDA)
  {
    return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
  }
  return c10::impl::hasDeviceGuardImpl(kind) ? c10::impl::getDeviceGuardImpl(kind)->deviceCount() : 0;
}

at::Device
deviceOf(int gpu)
{
  if (gpu < 0)
  {
    return at::Device(at::kCPU);
  }
  const int count = numberOfGpus();
  if (gpu >= count)
  {
    throw ParameterError("GPU",
                         std::to_string(gpu) + " is not allowed, because torch finds " +
                           (count == 0 ? std::string("no GPU") : std::to_string(count) + " GPU(s)") + ".",
                         "Allowed: -1 for the CPU" +
                           (count == 0 ? std::string(". For a GPU, install a CUDA build of torch of the same version.")
                                       : ", 0 to " + std::to_string(count - 1) + "."),
                         Problem::Kind::Machine);
  }
  return at::Device(kindOfGpu(), static_cast<c10::DeviceIndex>(gpu));
}

std::string
nameOf(at::Device device)
{
  return device.is_cpu() ? "the CPU" : "GPU " + std::to_string(device.has_index() ? device.index() : 0);
}

std::uint64_t
availableMemory(at::Device device)
{
  if (device.is_cpu())
  {
    return availableMemory();
  }
  try
  {
    const compat::DeviceMemory memory = compat::memoryOf(device);
    return memory.free + static_cast<std::uint64_t>(std::max<std::int64_t>(0, memory.reserved - memory.allocated));
  }
  catch (const c10::NotImplementedError &)
  {
    return std::numeric_limits<std::uint64_t>::max();
  }
}

std::int64_t
allocatedMemory(at::Device device)
{
  if (device.is_cpu())
  {
    return 0;
  }
  try
  {
    return compat::memoryOf(device).allocated;
  }
  catch (const c10::NotImplementedError &)
  {
    return 0;
  }
}

bool
isOutOfMemory(const std::exception & error)
{
  return dynamic_cast<const OutOfMemory *>(&error) || dynamic_cast<const c10::OutOfMemoryError *>(&error) ||
         dynamic_cast<const std::bad_alloc *>(&error) ||
         says(error,
              { "out of memory",
                "CUBLAS_STATUS_ALLOC_FAILED",
                "CUDNN_STATUS_ALLOC_FAILED",
                "DefaultCPUAllocator: can't allocate memory",
                "DefaultCPUAllocator: not enough memory" });
}

bool
isDeviceFailure(const std::exception & error)
{
  return !isOutOfMemory(error) && (dynamic_cast<const c10::AcceleratorError *>(&error) ||
                                   says(error, { "CUDA error", "CUDA driver error", "CUDNN_STATUS_EXECUTION_FAILED" }));
}

OutOfMemory
outOfMemory(at::Device device, const std::string & during, const std::string & path)
{
  return OutOfMemory(
    { Problem::Kind::Memory,
      "the memory of " + nameOf(device) + " does not suffice for " + during + ".",
      std::string("Choose a smaller PatchSize (in Mode \"Static\": tiles instead of 0, the whole image), "
                  "a larger VoxelSize") +
        (device.is_cpu() ? ", or in Mode \"Static\" UseMixedPrecision \"true\"."
                         : ", UseMixedPrecision \"true\", or another GPU (-1: the CPU)."),
      path });
}

Problem
mapsDoNotFit(double needed, std::uint64_t available, at::Device device, bool areHalf)
{
  const std::string where = device.is_cpu() ? "" : " on " + nameOf(device);
  const std::string instead = device.is_cpu() ? ", or Mode \"Jacobian\"." : ", Mode \"Jacobian\", or GPU -1, the CPU.";
  return { Problem::Kind::Memory,
           "the feature maps of this level would take at least " + gibibytes(needed) + " of memory, of which " +
             gibibytes(static_cast<double>(available)) + " are available" + where + ".",
           "Choose a larger VoxelSize (in 3D half the size takes eight times the memory), fewer layers in LayersMask, "
           "a PCA of fewer components" +
             std::string(areHalf ? "" : ", UseMixedPrecision \"true\" (half the memory)") + instead };
}

SinglePrecision::SinglePrecision(bool wanted)
  : m_Before(compat::precisionOf(compat::Operation::All))
  , m_Changed(wanted && compat::precisionOf(compat::Operation::Convolution) == compat::Precision::Tf32)
{
  if (m_Changed)
  {
    // Torch's default cannot be put back once it has been overwritten. It gives way to what holds for all of CUDA.
    compat::setPrecision(compat::Operation::All, compat::Precision::Ieee);
    m_OfUser = compat::precisionOf(compat::Operation::Convolution) == compat::Precision::Tf32;
  }
  if (m_OfUser)
  {
    compat::setPrecision(compat::Operation::Convolution, compat::Precision::Ieee);
  }
}

SinglePrecision::~SinglePrecision()
{
  if (m_OfUser)
  {
    compat::setPrecision(compat::Operation::Convolution, compat::Precision::Tf32);
  }
  if (m_Changed)
  {
    // Torch tells what holds, not what was set: nothing, unless that gives something else.
    compat::setPrecision(compat::Operation::All, compat::Precision::None);
    if (compat::precisionOf(compat::Operation::All) != m_Before)
    {
      compat::setPrecision(compat::Operation::All, m_Before);
    }
  }
}

void
onDevice(at::Device device, const std::string & during, const std::function<void()> & action)
{
  const SinglePrecision singlePrecision(!device.is_cpu());
  try
  {
    action();
  }
  catch (const Error &)
  {
    throw;
  }
  catch (const OutOfMemory & error)
  {
    throw Error(error.problem());
  }
  catch (const std::exception & error)
  {
    if (isOutOfMemory(error))
    {
      throw Error(outOfMemory(device, during).problem());
    }
    if (isDeviceFailure(error))
    {
      throw Error(nameOf(device) + " (parameter GPU) failed in " + during + ": " + reasonOf(error) +
                    ". It may have been lost or reset; nvidia-smi and the log of the system's kernel say more.",
                  "This process cannot use it again: start a new one, with another GPU or -1 for the CPU.");
    }
    throw;
  }
}

} // namespace impact
