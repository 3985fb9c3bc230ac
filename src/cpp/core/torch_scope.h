#pragma once

#include "python_gil.h"
#include "torch_headers.h"

namespace impact
{

/** The state in which all our torch code runs; what it changes is put back on leaving. */
class TorchScope
{
public:
  explicit TorchScope(int numberOfThreads)
    : m_ThreadsBefore(at::get_num_threads())
    , m_CpuAutocastBefore(at::autocast::is_autocast_enabled(at::kCPU))
    , m_GpuAutocastBefore(at::autocast::is_autocast_enabled(at::kCUDA))
  {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::set_autocast_enabled(at::kCUDA, false);
    if (numberOfThreads > 0 && numberOfThreads != m_ThreadsBefore)
    {
      at::set_num_threads(numberOfThreads);
    }
  }
  ~TorchScope()
  {
    if (at::get_num_threads() != m_ThreadsBefore)
    {
      at::set_num_threads(m_ThreadsBefore);
    }
    at::autocast::set_autocast_enabled(at::kCPU, m_CpuAutocastBefore);
    at::autocast::set_autocast_enabled(at::kCUDA, m_GpuAutocastBefore);
  }
  TorchScope(const TorchScope &) = delete;
  TorchScope & operator=(const TorchScope &) = delete;

private:
  PythonGilRelease   m_GilRelease;
  int                m_ThreadsBefore;
  bool               m_CpuAutocastBefore;
  bool               m_GpuAutocastBefore;
  c10::InferenceMode m_InferenceOff{ false };
  at::AutoGradMode   m_GradientsOff{ false };
};

} // namespace impact
