#include "pretended_device.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <malloc.h>

#include <cstring>

namespace pretended
{

std::array<Device, numberOfDevices> &
devices()
{
  static auto * const all = new std::array<Device, numberOfDevices>; // tensors may outlive what is destroyed at exit
  return *all;
}

namespace
{

thread_local c10::DeviceIndex current = 0;

// Memory, the current device and streams, as torch asks for them.

class Allocator final : public c10::DeviceAllocator
{
public:
  c10::DataPtr
  allocate(std::size_t bytes) override
  {
    const c10::Device device(kind, current);
    if (bytes == 0)
    {
      return { nullptr, device };
    }
    Device &     here = devices()[static_cast<std::size_t>(current)];
    void * const address = here.allocate(bytes, current);
    const auto   size = static_cast<std::int64_t>(roundedUp(bytes));
    c10::reportMemoryUsageToProfiler(address, size, here.used(), here.used(), device);
    return { address, address, &release, device };
  }

  c10::DeleterFnPtr
  raw_deleter() const override
  {
    return &release;
  }

  void
  copy_data(void * target, const void * source, std::size_t bytes) const override
  {
    std::memcpy(holderOf(target).open(target), holderOf(source).open(source), bytes);
  }

  bool
  initialized() override
  {
    return true;
  }
  void
  emptyCache(c10::MempoolId_t) override
  {}
  void
  recordStream(const c10::DataPtr &, c10::Stream) override
  {}
  void
  resetAccumulatedStats(c10::DeviceIndex) override
  {}

  void
  resetPeakStats(c10::DeviceIndex index) override
  {
    devices()[static_cast<std::size_t>(index)].reset();
  }

  c10::CachingDeviceAllocator::DeviceStats
  getDeviceStats(c10::DeviceIndex index) override
  {
    constexpr auto                           all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    c10::CachingDeviceAllocator::DeviceStats statistics;
    Device &                                 device = devices()[static_cast<std::size_t>(index)];
    statistics.allocated_bytes[all].current = static_cast<std::int64_t>(device.used());
    statistics.allocated_bytes[all].peak = device.counts().peak;
    statistics.reserved_bytes[all].current = static_cast<std::int64_t>(device.used());
    return statistics;
  }

  /** Free, and all. */
  std::pair<std::size_t, std::size_t>
  getMemoryInfo(c10::DeviceIndex index) override
  {
    const Device & device = devices()[static_cast<std::size_t>(index)];
    return { device.limit() - std::min(device.limit(), device.used()), device.limit() };
  }

private:
  static Device &
  holderOf(const void * address)
  {
    return *std::find_if(
      devices().begin(), devices().end(), [&](const Device & device) { return device.has(address); });
  }

  static void
  release(void * address)
  {
    if (address)
    {
      Device &   device = holderOf(address);
      const auto size = static_cast<std::int64_t>(device.release(address));
      const auto index = static_cast<c10::DeviceIndex>(&device - devices().data());
      c10::reportMemoryUsageToProfiler(address, -size, device.used(), device.used(), c10::Device(kind, index));
    }
  }
};


class Guard final : public c10::impl::DeviceGuardImplInterface
{
public:
  c10::DeviceType
  type() const override
  {
    return kind;
  }
  c10::Device
  getDevice() const override
  {
    return { kind, current };
  }
  void
  setDevice(c10::Device device) const override
  {
    set(device);
  }
  void
  uncheckedSetDevice(c10::Device device) const noexcept override
  {
    set(device);
  }
  c10::Stream
  getStream(c10::Device device) const override
  {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream
  getDefaultStream(c10::Device device) const override
  {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream
  exchangeStream(c10::Stream stream) const override
  {
    return stream;
  } // there is one
  c10::DeviceIndex
  deviceCount() const noexcept override
  {
    return numberOfDevices;
  }

  c10::Device
  exchangeDevice(c10::Device device) const override
  {
    const c10::Device before = getDevice();
    set(device);
    return before;
  }

  // Operators are done when they return: there is nothing for another stream to wait for.
  void
  record(void **, const c10::Stream &, c10::DeviceIndex, c10::EventFlag) const override
  {}
  void
  block(void *, const c10::Stream &) const override
  {}
  bool
  queryEvent(void *) const override
  {
    return true;
  }
  bool
  queryStream(const c10::Stream &) const override
  {
    return true;
  }
  void
  destroyEvent(void *, c10::DeviceIndex) const noexcept override
  {}
  void
  recordDataPtrOnStream(const c10::DataPtr &, const c10::Stream &) const override
  {}

  void
  synchronizeStream(const c10::Stream & stream) const override
  {
    synchronizeDevice(stream.device_index());
  }
  void
  synchronizeDevice(c10::DeviceIndex index) const override
  {
    devices()[static_cast<std::size_t>(index)].wait();
  }

private:
  static void
  set(c10::Device device) noexcept
  {
    current = device.has_index() ? device.index() : current;
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

class Hooks final : public at::PrivateUse1HooksInterface
{
public:
  bool
  isBuilt() const override
  {
    return true;
  }
  bool
  isAvailable() const override
  {
    return true;
  }
  bool
  hasPrimaryContext(c10::DeviceIndex) const override
  {
    return true;
  }
  c10::DeviceIndex
  deviceCount() const override
  {
    return numberOfDevices;
  }
  c10::DeviceIndex
  getCurrentDevice() const override
  {
    return current;
  }
  void
  setCurrentDevice(c10::DeviceIndex index) const override
  {
    current = index;
  }
  c10::DeviceIndex
  exchangeDevice(c10::DeviceIndex index) const override
  {
    return std::exchange(current, index);
  }
  c10::DeviceIndex
  maybeExchangeDevice(c10::DeviceIndex index) const override
  {
    return exchangeDevice(index);
  }
};

/** What must be done once, when this library is opened. */
const bool registered = [] {
  // Results of operators are made on the CPU first: not in pages that come and go with each of them.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  c10::register_privateuse1_backend("pretended");
  c10::SetAllocator(kind, &allocator());
  at::RegisterPrivateUse1HooksInterface(new Hooks); // as long as the process
  return true;
}();

Device &
numbered(int index)
{
  return devices().at(static_cast<std::size_t>(index));
}

} // namespace

c10::DeviceAllocator &
allocator()
{
  static auto * const only = new Allocator; // as long as the process
  return *only;
}

} // namespace pretended

// For ctypes: tests/helpers/pretended.py.
#define PRETENDED_API __attribute__((visibility("default")))
extern "C"
{
  /** Bytes that may be in use. */
  PRETENDED_API void
  pretended_set_limit(int device, std::size_t bytes)
  {
    pretended::numbered(device).setLimit(bytes);
  }

  /** The device is lost after so many operators; never, and not lost any more, for a negative number. Late, unless 0:
   * it is not known before the host waits. */
  PRETENDED_API void
  pretended_lose_after(int device, std::int64_t operators, int late)
  {
    pretended::numbered(device).loseAfter(operators, late != 0);
  }

  PRETENDED_API std::int64_t
                pretended_used(int device)
  {
    return static_cast<std::int64_t>(pretended::numbered(device).used());
  }

  PRETENDED_API void
  pretended_counts(int device, pretended::Counts * counts)
  {
    *counts = pretended::numbered(device).counts();
  }

  PRETENDED_API void
  pretended_reset(int device)
  {
    pretended::numbered(device).reset();
  }
}
