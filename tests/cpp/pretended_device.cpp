/** A device for tests that is none: torch's backend for what others bring along (PrivateUse1), in the memory of the
 * machine.
 *
 * It computes by torch's own kernels for the CPU and shows what those would hide:
 * - Its memory is mapped twice: at the addresses that tensors have nothing may be read or written, so that whoever
 * takes them for the CPU's ends by SIGSEGV. This file alone knows the other place. What is freed reads as zeros.
 * - It has a limit, beyond which torch's OutOfMemoryError is thrown.
 * - Operators refuse tensors of the CPU with axes, as CUDA does; with indices, too, where CUDA copies them unsaid.
 * - Copies between it and the CPU are counted, and the times that the host has to wait for it: at copies that are told
 *   to wait, and where a number or the size of a result comes from it.
 * - What comes down without waiting arrives when the host next waits, not before. What goes up without waiting is read
 * at once, as CUDA does with memory that is not pinned.
 * - It can be lost: operators and copies then throw what torch throws for CUDA.
 *
 * Operators run when they are called. Thread-safe, but for what is on its way down, which belongs to one thread. */

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace
{

constexpr int         numberOfDevices = 2;
constexpr std::size_t pageSize = 4096;
constexpr std::size_t addresses = std::size_t{ 1 } << 36; // of each device; its limit is below that
constexpr auto        kind = c10::DeviceType::PrivateUse1;

std::size_t
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
    m_File = file;
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
                       m_Limit - m_Used,
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
    fallocate(m_File, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(size));
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

  /** An operator that begins. \throws c10::AcceleratorError once the device is lost */
  void
  begin()
  {
    throwIfLost();
    const std::lock_guard<std::mutex> lock(m_Mutex);
    ++m_Counts.operators;
    --m_OperatorsLeft;
  }

  void
  throwIfLost() const
  {
    if (m_OperatorsLeft <= 0)
    {
      throw c10::AcceleratorError(c10::SourceLocation{ "", "", 0 },
                                  719,
                                  "CUDA error: unspecified launch failure (the pretended device is lost)\nCUDA kernel "
                                  "errors might be asynchronously reported at some other API call.");
    }
  }

  void
  loseAfter(std::int64_t operators)
  {
    m_OperatorsLeft = operators < 0 ? std::numeric_limits<std::int64_t>::max() : operators;
  }

  /** The host waits until all is done. */
  void
  wait()
  {
    throwIfLost();
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
  int    m_File{};
  char * m_Closed{}; // as tensors have it
  char * m_Open{};

  std::mutex                         m_Mutex;
  std::map<std::size_t, std::size_t> m_Free; // offset, size
  std::map<std::size_t, std::size_t> m_Sizes;
  std::atomic<std::size_t>           m_Used{ 0 };
  std::atomic<std::size_t>           m_Limit{ std::size_t{ 4 } << 30 };
  std::vector<Arrival>               m_OnTheWay;
  std::atomic<std::int64_t>          m_OperatorsLeft{ std::numeric_limits<std::int64_t>::max() };
  Counts                             m_Counts{};
};

std::array<Device, numberOfDevices> &
devices()
{
  static auto * const all = new std::array<Device, numberOfDevices>; // tensors may outlive what is destroyed at exit
  return *all;
}

thread_local c10::DeviceIndex current = 0;
thread_local int              inOperator = 0; // whose own copies are no copies of the program's

/** As long as an operator runs. */
struct OperatorScope
{
  OperatorScope() { ++inOperator; }
  ~OperatorScope() { --inOperator; }
  OperatorScope(const OperatorScope &) = delete;
  OperatorScope & operator=(const OperatorScope &) = delete;
};

Device &
deviceOf(const at::Tensor & tensor)
{
  return devices()[static_cast<std::size_t>(tensor.device().index())];
}

bool
isHere(const at::Tensor & tensor)
{
  return tensor.device().type() == kind;
}

/** A tensor of the CPU that has the numbers of one of the device, where this file may touch them. */
at::Tensor
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
  return at::from_blob(deviceOf(tensor).open(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(), options);
}

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

Allocator allocator;

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

// Operators. Those that make views or move numbers are here; all others are run on copies of the CPU's.

at::Tensor
emptyTensor(c10::SymIntArrayRef             size,
            std::optional<at::ScalarType>   type,
            std::optional<at::Layout>       layout,
            std::optional<at::Device>       device,
            std::optional<bool>             pinned,
            std::optional<at::MemoryFormat> format)
{
  TORCH_CHECK(c10::layout_or_default(layout) == at::kStrided && !c10::pinned_memory_or_default(pinned),
              "pretended device: only strided tensors");
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size),
                                   &allocator,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type),
                                   format);
}

at::Tensor
emptyStrided(c10::SymIntArrayRef           size,
             c10::SymIntArrayRef           stride,
             std::optional<at::ScalarType> type,
             std::optional<at::Layout>,
             std::optional<at::Device> device,
             std::optional<bool>)
{
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride),
                                           &allocator,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(type));
}

at::Tensor
copyFrom(const at::Tensor & source, const at::Tensor & target, bool withoutWaiting)
{
  const bool up = !isHere(source);
  const bool down = !isHere(target);
  Device &   device = deviceOf(up ? target : source);
  if (inOperator == 0)
  {
    if (up)
    {
      device.countUp(source);
    }
    else if (down)
    {
      device.countDown(source);
    }
    else
    {
      device.begin();
    }
    if ((up || down) && !withoutWaiting)
    {
      device.wait();
    }
    device.throwIfLost();
    if (down && withoutWaiting)
    {
      device.arriveLater(target, opened(source).clone());
      return target;
    }
  }
  opened(target).copy_(opened(source));
  return target;
}

const at::Tensor &
resize(const at::Tensor & tensor, c10::SymIntArrayRef symbolic, std::optional<at::MemoryFormat> format)
{
  TORCH_CHECK(!format || *format == at::MemoryFormat::Contiguous, "pretended device: resize_ makes contiguous tensors");
  const auto   size = C10_AS_INTARRAYREF_SLOW(symbolic);
  auto * const implementation = tensor.unsafeGetTensorImpl();
  implementation->set_sizes_contiguous(size);
  const auto bytes = static_cast<std::size_t>(tensor.storage_offset() + tensor.numel()) * tensor.itemsize();
  const auto storage = tensor.storage();
  if (storage.nbytes() < bytes)
  {
    const c10::DeviceGuard guard(tensor.device());
    c10::DataPtr           larger = allocator.allocate(bytes);
    if (storage.nbytes() > 0)
    {
      allocator.copy_data(larger.get(), storage.data(), storage.nbytes());
    }
    storage.set_data_ptr_noswap(std::move(larger));
    storage.set_nbytes(bytes);
  }
  return tensor;
}

at::Tensor
copyFromAndResize(const at::Tensor & source, const at::Tensor & target)
{
  if (target.sizes() != source.sizes())
  {
    target.resize_(source.sizes());
  }
  return copyFrom(source, target, false);
}

at::Scalar
numberOf(const at::Tensor & tensor)
{
  Device & device = deviceOf(tensor);
  device.countDown(tensor);
  device.wait();
  return opened(tensor).item();
}

at::Tensor &
setStorage(at::Tensor &        tensor,
           at::Storage         storage,
           c10::SymInt         offset,
           c10::SymIntArrayRef size,
           c10::SymIntArrayRef stride)
{
  auto * const implementation = tensor.unsafeGetTensorImpl();
  implementation->set_storage_keep_dtype(std::move(storage));
  implementation->set_sizes_and_strides(
    C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.expect_int());
  return tensor;
}

at::Tensor &
setWholeStorage(at::Tensor & tensor, at::Storage storage)
{
  const auto count = static_cast<std::int64_t>(storage.nbytes() / tensor.itemsize());
  return setStorage(tensor, std::move(storage), 0, c10::SymInt(count), c10::SymInt(1));
}

at::Tensor
view(const at::Tensor & tensor, c10::SymIntArrayRef size)
{
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}

at::Tensor
asStrided(const at::Tensor &         tensor,
          c10::SymIntArrayRef        size,
          c10::SymIntArrayRef        stride,
          std::optional<c10::SymInt> offset)
{
  return at::native::as_strided_tensorimpl(tensor,
                                           C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride),
                                           offset ? std::optional(offset->expect_int()) : std::nullopt);
}

at::Tensor
reshapeAlias(const at::Tensor & tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride)
{
  return at::native::_reshape_alias(tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

/** What an operator is about to compute with. \throws where that lies on more than one device */
Device &
checked(const std::string & name, c10::ArrayRef<at::Tensor> tensors)
{
  const at::Tensor * first = nullptr;
  for (const at::Tensor & tensor : tensors)
  {
    if (tensor.defined() && isHere(tensor) && !first)
    {
      first = &tensor;
    }
  }
  for (const at::Tensor & tensor : tensors)
  {
    if (first && tensor.defined() && tensor.device() != first->device())
    {
      TORCH_CHECK(tensor.device().is_cpu() && tensor.dim() == 0,
                  "Expected all tensors to be on the same device, but found at least two devices, ",
                  first->device(),
                  " and ",
                  tensor.device(),
                  "! (in ",
                  name,
                  ", a tensor of shape ",
                  tensor.sizes(),
                  ")");
    }
  }
  return first ? deviceOf(*first) : devices()[static_cast<std::size_t>(current)];
}

void
collect(const c10::IValue & value, std::vector<at::Tensor> & tensors)
{
  if (value.isTensor())
  {
    tensors.push_back(value.toTensor());
  }
  else if (value.isList())
  {
    for (const c10::IValue & element : value.toListRef())
    {
      collect(element, tensors);
    }
  }
}

/** Whether the shape of an operator's result is in the numbers that it computes with, so that the host waits. */
bool
waits(const std::string & name, c10::ArrayRef<at::Tensor> tensors)
{
  static const std::set<std::string> names{ "aten::nonzero",    "aten::masked_select",
                                            "aten::unique_dim", "aten::_unique",
                                            "aten::_unique2",   "aten::unique_consecutive",
                                            "aten::equal",      "aten::is_nonzero",
                                            "aten::bincount",   "aten::repeat_interleave" };
  static const std::set<std::string> ofMasks{ "aten::index", "aten::index_put_", "aten::_index_put_impl_" };
  return names.count(name) > 0 ||
         (ofMasks.count(name) > 0 && std::any_of(tensors.begin() + 1, tensors.end(), [](const at::Tensor & tensor) {
            return tensor.defined() && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte);
          }));
}

void
onTheCpu(const c10::OperatorHandle & op, torch::jit::Stack * stack)
{
  const std::string       name = op.schema().name();
  std::vector<at::Tensor> tensors;
  for (const c10::IValue & argument : torch::jit::last(*stack, op.schema().arguments().size()))
  {
    collect(argument, tensors);
  }
  Device & device = checked(name, tensors);
  device.begin();
  if (waits(name, tensors))
  {
    device.wait();
  }
  const OperatorScope scope;
  at::native::cpu_fallback(op, stack);
}

at::Tensor
convolution(const at::Tensor &                input,
            const at::Tensor &                weight,
            const std::optional<at::Tensor> & bias,
            c10::SymIntArrayRef               stride,
            c10::SymIntArrayRef               padding,
            c10::SymIntArrayRef               dilation,
            bool                              transposed,
            c10::SymIntArrayRef               outputPadding,
            c10::SymInt                       groups)
{
  checked("aten::convolution", { input, weight, bias.value_or(at::Tensor()) }).begin();
  const OperatorScope scope;
  const at::Tensor    ofBias = bias ? opened(*bias) : at::Tensor();
  return at::convolution_symint(opened(input),
                                opened(weight),
                                ofBias,
                                stride,
                                padding,
                                dilation,
                                transposed,
                                outputPadding,
                                std::move(groups))
    .to(input.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor>
convolutionBackward(const at::Tensor &  gradient,
                    const at::Tensor &  input,
                    const at::Tensor &  weight,
                    c10::SymIntArrayRef stride,
                    c10::SymIntArrayRef padding,
                    c10::SymIntArrayRef dilation,
                    bool                transposed,
                    c10::SymIntArrayRef outputPadding,
                    c10::SymInt         groups,
                    std::array<bool, 3> wanted)
{
  checked("aten::convolution_backward", { gradient, input, weight }).begin();
  const OperatorScope scope;
  const c10::SymInt   channels = gradient.sym_size(1);
  const auto [ofInput, ofWeight, ofBias] = at::convolution_backward_symint(opened(gradient),
                                                                           opened(input),
                                                                           opened(weight),
                                                                           c10::SymIntArrayRef(channels),
                                                                           stride,
                                                                           padding,
                                                                           dilation,
                                                                           transposed,
                                                                           outputPadding,
                                                                           std::move(groups),
                                                                           wanted);
  const auto up = [&](const at::Tensor & tensor) { return tensor.defined() ? tensor.to(input.device()) : tensor; };
  return { up(ofInput), up(ofWeight), up(ofBias) };
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library)
{
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&onTheCpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library)
{
  library.impl("empty.memory_format", &emptyTensor);
  library.impl("empty_strided", &emptyStrided);
  library.impl("_copy_from", &copyFrom);
  library.impl("_copy_from_and_resize", &copyFromAndResize);
  library.impl("_local_scalar_dense", &numberOf);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage", &setWholeStorage);
  library.impl("set_.source_Storage_storage_offset", &setStorage);
  library.impl("view", &view);
  library.impl("as_strided", &asStrided);
  library.impl("_reshape_alias", &reshapeAlias);
  library.impl("unfold", &at::native::unfold);
  library.impl("convolution_overrideable", &convolution);
  library.impl("convolution_backward_overrideable", &convolutionBackward);
}

// In half precision: what networks spend their time in.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library)
{
  library.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) // so torch's macros call it
{
  using namespace at::autocast; // whose names they use
  KERNEL_PRIVATEUSEONE(_convolution, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv3d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
}

/** What must be done once, when this library is opened. */
const bool registered = [] {
  c10::register_privateuse1_backend("pretended");
  c10::SetAllocator(kind, &allocator);
  at::RegisterPrivateUse1HooksInterface(new Hooks); // as long as the process
  return true;
}();

Device &
numbered(int index)
{
  return devices().at(static_cast<std::size_t>(index));
}

} // namespace

// For ctypes: tests/helpers/pretended.py.
#define PRETENDED_API __attribute__((visibility("default")))
extern "C"
{
  /** Bytes that may be in use. */
  PRETENDED_API void
  pretended_set_limit(int device, std::size_t bytes)
  {
    numbered(device).setLimit(bytes);
  }

  /** The device is lost after so many operators; never, and not lost any more, for a negative number. */
  PRETENDED_API void
  pretended_lose_after(int device, std::int64_t operators)
  {
    numbered(device).loseAfter(operators);
  }

  PRETENDED_API std::int64_t
                pretended_used(int device)
  {
    return static_cast<std::int64_t>(numbered(device).used());
  }

  PRETENDED_API void
  pretended_counts(int device, Counts * counts)
  {
    *counts = numbered(device).counts();
  }

  PRETENDED_API void
  pretended_reset(int device)
  {
    numbered(device).reset();
  }
}
