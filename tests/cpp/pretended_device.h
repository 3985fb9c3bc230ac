#pragma once

/** A device for tests that is none: torch's backend for what others bring along (PrivateUse1), in the memory of the
 * machine.
 *
 * It computes by torch's own kernels for the CPU and shows what those would hide:
 * - Its memory is mapped twice: at the addresses that tensors have nothing may be read or written, so that whoever
 * takes them for the CPU's ends by SIGSEGV. These files alone know the other place.
 * - It has a limit (IMPACT_PRETENDED_BYTES, 4 GiB), beyond which torch's OutOfMemoryError is thrown.
 * - Operators refuse tensors of the CPU with axes, as CUDA does; with indices, too, where CUDA copies them unsaid.
 * - Copies between it and the CPU are counted, and the times that the host has to wait for it: at copies that are told
 *   to wait, and where a number or the size of a result comes from it.
 * - What comes down without waiting arrives when the host next waits, not before. What goes up without waiting is read
 * at once, as CUDA does with memory that is not pinned.
 * - It can be lost: operators and copies then throw what torch throws for CUDA; at once, or, as CUDA does, from when
 * the host next waits.
 *
 * Operators run when they are called. Thread-safe, but for what is on its way down, which belongs to one thread. */

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

namespace pretended
{

constexpr int         numberOfDevices = 2;
constexpr std::size_t pageSize = 4096;
constexpr std::size_t addresses = std::size_t{ 1 } << 36; // of each device; its limit is below that
constexpr auto        kind = c10::DeviceType::PrivateUse1;

inline std::size_t
roundedUp(std::size_t bytes)
{
  return (bytes + pageSize - 1) / pageSize * pageSize;
}

/** What is counted, since it was last set to zero. Its order is that of tests/helpers/pretended.py. */
struct Counts
{
  std::int64_t copiesUp;
  std::int64_t bytesUp;
  std::int64_t copiesDown;
  std::int64_t bytesDown;
  std::int64_t waits;
  std::int64_t operators;
  std::int64_t peak; // bytes of memory in use
};

struct Arrival
{
  at::Tensor target; // on the CPU
  at::Tensor numbers;
};

/** One device: its memory, what is counted of it, and what is still on its way down. */
class Device
{
public:
  Device()
  {
    const int file = memfd_create("pretended device", MFD_CLOEXEC);
    TORCH_CHECK(file >= 0 && ftruncate(file, addresses) == 0, "pretended device: no memory can be mapped");
    m_Closed = static_cast<char *>(mmap(nullptr, addresses, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file, 0));
    m_Open = static_cast<char *>(mmap(nullptr, addresses, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0));
    TORCH_CHECK(m_Closed != MAP_FAILED && m_Open != MAP_FAILED, "pretended device: no memory can be mapped");
    madvise(m_Open, addresses, MADV_DONTDUMP);
    close(file);
    if (const char * const limit = std::getenv("IMPACT_PRETENDED_BYTES"))
    {
      setLimit(std::strtoull(limit, nullptr, 10));
    }
    m_Free[0] = addresses;
  }

  void *
  allocate(std::size_t bytes, int index)
  {
    const std::size_t                 size = roundedUp(bytes);
    const std::lock_guard<std::mutex> lock(m_Mutex);
    const auto                        place =
      std::find_if(m_Free.begin(), m_Free.end(), [&](const auto & part) { return part.second >= size; });
    if (m_Used + size > m_Limit || place == m_Free.end())
    {
      TORCH_CHECK_WITH(OutOfMemoryError,
                       false,
                       "CUDA out of memory. Tried to allocate ",
                       size,
                       " bytes. GPU ",
                       index,
                       " has a total capacity of ",
                       m_Limit,
                       " bytes of which ",
                       m_Limit - std::min<std::size_t>(m_Limit, m_Used),
                       " is free. (A pretended device.)");
    }
    const auto [offset, room] = *place;
    m_Free.erase(place);
    if (room > size)
    {
      m_Free[offset + size] = room - size;
    }
    m_Sizes[offset] = size;
    m_Used += size;
    m_Counts.peak = std::max(m_Counts.peak, static_cast<std::int64_t>(m_Used));
    return m_Closed + offset;
  }

  std::size_t
  release(void * address)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    auto                              offset = static_cast<std::size_t>(static_cast<char *>(address) - m_Closed);
    const auto                        found = m_Sizes.find(offset);
    std::size_t                       size = found->second;
    const auto                        released = size;
    m_Sizes.erase(found);
    m_Used -= size;
    auto next = m_Free.lower_bound(offset);
    if (next != m_Free.end() && next->first == offset + size)
    {
      size += next->second;
      next = m_Free.erase(next);
    }
    if (next != m_Free.begin())
    {
      const auto before = std::prev(next);
      if (before->first + before->second == offset)
      {
        offset = before->first;
        size += before->second;
      }
    }
    m_Free[offset] = size;
    return released;
  }

  bool
  has(const void * address) const
  {
    return address >= m_Closed && address < m_Closed + addresses;
  }

  /** Where this file may read and write what tensors have at an address. */
  void *
  open(const void * address) const
  {
    return m_Open + (static_cast<const char *>(address) - m_Closed);
  }

  std::size_t
  used() const
  {
    return m_Used;
  }
  std::size_t
  limit() const
  {
    return m_Limit;
  }
  void
  setLimit(std::size_t bytes)
  {
    m_Limit = std::min(bytes, addresses);
  }

  /** An operator that begins. \throws c10::AcceleratorError once it is known that the device is lost */
  void
  begin()
  {
    throwIfKnownLost();
    const std::lock_guard<std::mutex> lock(m_Mutex);
    ++m_Counts.operators;
    --m_OperatorsLeft;
  }

  bool
  isLost() const
  {
    return m_OperatorsLeft <= 0;
  }

  void
  throwIfKnownLost() const
  {
    if (isLost() && m_KnowsLoss)
    {
      throw c10::AcceleratorError(c10::SourceLocation{ "", "", 0 },
                                  719,
                                  "CUDA error: unspecified launch failure (the pretended device is lost)\nCUDA kernel "
                                  "errors might be asynchronously reported at some other API call.");
    }
  }

  /** Lost after so many operators, never for a negative number. `late`: it is not known before the host waits. */
  void
  loseAfter(std::int64_t operators, bool late)
  {
    m_KnowsLoss = !late;
    m_OperatorsLeft = operators < 0 ? std::numeric_limits<std::int64_t>::max() : operators;
  }

  /** The host waits until all is done. */
  void
  wait()
  {
    if (isLost())
    {
      m_KnowsLoss = true;
    }
    throwIfKnownLost();
    std::vector<Arrival> arrived;
    {
      const std::lock_guard<std::mutex> lock(m_Mutex);
      ++m_Counts.waits;
      arrived.swap(m_OnTheWay);
    }
    for (const Arrival & arrival : arrived)
    {
      arrival.target.copy_(arrival.numbers);
    }
  }

  void
  arriveLater(const at::Tensor & target, const at::Tensor & numbers)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_OnTheWay.push_back({ target, numbers });
  }

  void
  countUp(const at::Tensor & tensor)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    ++m_Counts.copiesUp;
    m_Counts.bytesUp += static_cast<std::int64_t>(tensor.nbytes());
  }

  void
  countDown(const at::Tensor & tensor)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    ++m_Counts.copiesDown;
    m_Counts.bytesDown += static_cast<std::int64_t>(tensor.nbytes());
  }

  Counts
  counts()
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    return m_Counts;
  }

  void
  reset()
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Counts = {};
    m_Counts.peak = static_cast<std::int64_t>(m_Used);
  }

private:
  char * m_Closed{}; // as tensors have it
  char * m_Open{};

  std::mutex                         m_Mutex;
  std::map<std::size_t, std::size_t> m_Free; // offset, size
  std::map<std::size_t, std::size_t> m_Sizes;
  std::atomic<std::size_t>           m_Used{ 0 };
  std::atomic<std::size_t>           m_Limit{ std::size_t{ 4 } << 30 };
  std::vector<Arrival>               m_OnTheWay;
  std::atomic<std::int64_t>          m_OperatorsLeft{ std::numeric_limits<std::int64_t>::max() };
  std::atomic<bool>                  m_KnowsLoss{ true };
  Counts                             m_Counts{};
};

std::array<Device, numberOfDevices> & devices();

/** Of the calling thread's current device. */
c10::DeviceAllocator & allocator();

inline Device &
deviceOf(const at::Tensor & tensor)
{
  return devices()[static_cast<std::size_t>(tensor.device().index())];
}

inline bool
isHere(const at::Tensor & tensor)
{
  return tensor.device().type() == kind;
}

/** A tensor of the CPU that has the numbers of one of the device, where these files may touch them. */
inline at::Tensor
opened(const at::Tensor & tensor)
{
  if (!tensor.defined() || !isHere(tensor))
  {
    return tensor;
  }
  const auto options = at::TensorOptions().dtype(tensor.dtype()).device(at::kCPU);
  if (tensor.numel() == 0)
  {
    return at::empty_strided(tensor.sizes(), tensor.strides(), options);
  }
  at::Tensor result =
    at::from_blob(deviceOf(tensor).open(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(), options);
  result._set_conj(tensor.is_conj());
  result._set_neg(tensor.is_neg());
  return result;
}

} // namespace pretended
