#pragma once

#include "impact/runtime/torch_headers.h"

#include <torch/version.h>

#include <cstdint>

#if __has_include(<torch/csrc/jit/serialization/pickler_helper.h>)
#  include <torch/csrc/jit/serialization/pickler_helper.h> // PickleOpCode
#else
#  include <torch/csrc/jit/serialization/pickler.h>
#endif

/** What differs between the minor versions of torch, 2.8 to 2.15, and nothing else does: all of it is here. */
namespace impact::compat
{

/** How a GPU computes in single precision. */
enum class Precision
{
  None, // nothing is set: torch's default
  Ieee,
  Tf32
};

/** Of which operations: of all that have no setting of their own, or of convolutions. */
enum class Operation
{
  All,
  Convolution
};

/** What holds in the process. Of all operations torch 2.8 has no setting: None. */
Precision precisionOf(Operation operation);
void      setPrecision(Operation operation, Precision precision);

/** Memory of a GPU in bytes. */
struct DeviceMemory
{
  std::uint64_t free;      // as the driver says
  std::int64_t  allocated; // by torch; before torch 2.9 by anybody, whose allocator does not tell
  std::int64_t  reserved;  // by torch for what it allocates; likewise
};

/** \throws c10::NotImplementedError where it cannot be told. */
DeviceMemory memoryOf(at::Device device);

} // namespace impact::compat
