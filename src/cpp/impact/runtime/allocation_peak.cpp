#include "impact/runtime/allocation_peak.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>

namespace impact
{
namespace
{

/** What torch tells of each allocation, as it tells its own profiler. */
class Recorder : public c10::MemoryReportingInfoBase
{
public:
  explicit Recorder(c10::DeviceType device)
    : m_Device(device)
  {}

  void
  reportMemoryUsage(void *, std::int64_t bytes, std::size_t, std::size_t, c10::Device device) override
  {
    if (device.type() == m_Device)
    {
      m_Current += bytes;
      m_Peak = std::max(m_Peak, m_Current);
    }
  }

  bool
  memoryProfilingEnabled() const override
  {
    return true;
  }

  std::int64_t
  peak() const
  {
    return m_Peak;
  }

private:
  c10::DeviceType m_Device;
  std::int64_t    m_Current{ 0 };
  std::int64_t    m_Peak{ 0 };
};

} // namespace

std::int64_t
allocationPeak(at::Device device, const std::function<void()> & work)
{
  const auto                recorder = std::make_shared<Recorder>(device.type());
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, recorder);
  work();
  return recorder->peak();
}

} // namespace impact
