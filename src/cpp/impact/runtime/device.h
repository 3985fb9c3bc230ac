#pragma once

#include "impact/base/error.h"
#include "impact/runtime/torch_compat.h"

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace impact
{

/** Memory that ran out: of a device or of the machine. What could do with less catches it and tries again; the text is
 * for the user where nothing could. */
class OutOfMemory : public std::runtime_error
{
public:
  explicit OutOfMemory(Problem problem)
    : std::runtime_error(problem.whole())
    , m_Problem(std::move(problem))
  {}

  const Problem &
  problem() const
  {
    return m_Problem;
  }

private:
  Problem m_Problem;
};

/** What GPUs are to torch here: CUDA's, or the devices that a program has registered with torch as a backend of its
 * own. All that tells devices from the CPU goes by this, none by CUDA's name. */
at::DeviceType kindOfGpu();

/** How many of them torch finds. */
int numberOfGpus();

/** The device of the parameter GPU. \throws ParameterError when there is no such GPU. */
at::Device deviceOf(int gpu);

/** As messages have it: GPU 0, or the CPU. */
std::string nameOf(at::Device device);

/** Bytes that this process may still use on a device: what the driver says is free and what torch keeps unused. On the
 * CPU, of the machine. The largest number where it cannot be told. */
std::uint64_t availableMemory(at::Device device);

/** Bytes that torch has in use on a device; 0 on the CPU, and where it cannot be told. */
std::int64_t allocatedMemory(at::Device device);

/** Whether an exception says that memory ran out: torch's own, the standard library's, or either in the words of a
 * TorchScript model, which keeps of what it was stopped by the text alone. */
bool isOutOfMemory(const std::exception & error);

/** Whether an exception says that the device itself failed: a GPU that was lost, reset or stopped by an error. */
bool isDeviceFailure(const std::exception & error);

/** What to say where memory ran out. \param during what was being done, e.g. "one patch at a time"
 * \param path the model file that was run, where there is one and `during` names it */
OutOfMemory outOfMemory(at::Device device, const std::string & during, const std::string & path = {});

/** What to say of feature maps that will need more memory, in bytes, than is available on a device.
 * \param areHalf whether they would be kept in half precision */
Problem mapsDoNotFit(double needed, std::uint64_t available, at::Device device, bool areHalf);

/** Convolutions on a GPU in single precision as long as this lives, rather than in TF32, which has 10 bits of mantissa
 * and is torch's default for them. The setting is the process's; what the user set is put back. */
class SinglePrecision
{
public:
  explicit SinglePrecision(bool wanted);
  ~SinglePrecision();
  SinglePrecision(const SinglePrecision &) = delete;
  SinglePrecision & operator=(const SinglePrecision &) = delete;

private:
  compat::Precision m_Before; // of all operations on CUDA
  bool              m_Changed;
  bool              m_OfUser{ false }; // TF32 was asked for, rather than the default
};

/** Does something on a device, in single precision. Failures of the device and shortages of its memory become errors
 * that say what to do.
 *
 * \param during as messages have it, e.g. "an evaluation" */
void onDevice(at::Device device, const std::string & during, const std::function<void()> & action);

} // namespace impact
