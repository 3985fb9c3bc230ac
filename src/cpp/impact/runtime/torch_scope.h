#pragma once

#include "impact/base/python_gil.h"
#include "impact/base/workers.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_headers.h"

#include <memory>
#include <optional>

namespace impact
{

/** The state in which all our torch code runs; what it changes is put back on leaving.
 *
 * torch itself gets one thread. Given several, the bits of its results depend on their number: where its loops are cut
 * decides which numbers go through vectors and which one by one, MKL's and oneDNN's products are cut otherwise, and
 * sums are added otherwise. What is worth several threads is cut by us, always alike: see torch_tasks.h. */
class TorchScope
{
public:
  /** \param workers those of inParallel(); null: none, and torch keeps its own number of threads */
  explicit TorchScope(const std::shared_ptr<Workers> & workers)
    : m_ThreadsBefore(at::get_num_threads())
    , m_CpuAutocastBefore(at::autocast::is_autocast_enabled(at::kCPU))
    , m_GpuAutocastBefore(at::autocast::is_autocast_enabled(m_Gpu))
  {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::set_autocast_enabled(m_Gpu, false);
    if (workers)
    {
      m_WorkersScope.emplace(*workers);
      if (m_ThreadsBefore != 1)
      {
        at::set_num_threads(1);
      }
    }
  }
  ~TorchScope()
  {
    if (at::get_num_threads() != m_ThreadsBefore)
    {
      at::set_num_threads(m_ThreadsBefore);
    }
    at::autocast::set_autocast_enabled(at::kCPU, m_CpuAutocastBefore);
    at::autocast::set_autocast_enabled(m_Gpu, m_GpuAutocastBefore);
  }
  TorchScope(const TorchScope &) = delete;
  TorchScope & operator=(const TorchScope &) = delete;

private:
  PythonGilRelease            m_GilRelease;
  int                         m_ThreadsBefore;
  at::DeviceType              m_Gpu{ kindOfGpu() };
  std::optional<WorkersScope> m_WorkersScope;
  bool                        m_CpuAutocastBefore;
  bool                        m_GpuAutocastBefore;
  c10::InferenceMode          m_InferenceOff{ false };
  at::AutoGradMode            m_GradientsOff{ false };
};

} // namespace impact
