#pragma once

#include "python_gil.h"
#include "torch_headers.h"
#include "workers.h"

#include <memory>
#include <optional>

namespace impact
{

/** What torch itself does with the threads that there are. */
enum class TorchThreads
{
  AsWorkers, // as many threads as there are workers, for the networks that it runs
  One        // a single one: beside our own loops its threads, which wait for work by spinning, would be in the way
};

/** The state in which all our torch code runs; what it changes is put back on leaving. */
class TorchScope
{
public:
  /** \param workers those of inParallel(), whose number bounds torch's own threads; null: none, and torch's number
   * stays */
  explicit TorchScope(const std::shared_ptr<Workers> & workers, TorchThreads threads = TorchThreads::AsWorkers)
    : m_ThreadsBefore(at::get_num_threads())
    , m_CpuAutocastBefore(at::autocast::is_autocast_enabled(at::kCPU))
    , m_GpuAutocastBefore(at::autocast::is_autocast_enabled(at::kCUDA))
  {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::set_autocast_enabled(at::kCUDA, false);
    if (workers)
    {
      m_WorkersScope.emplace(*workers);
      const int wanted = threads == TorchThreads::One ? 1 : workers->numberOfThreads();
      if (wanted != m_ThreadsBefore)
      {
        at::set_num_threads(wanted);
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
    at::autocast::set_autocast_enabled(at::kCUDA, m_GpuAutocastBefore);
  }
  TorchScope(const TorchScope &) = delete;
  TorchScope & operator=(const TorchScope &) = delete;

private:
  PythonGilRelease            m_GilRelease;
  int                         m_ThreadsBefore;
  std::optional<WorkersScope> m_WorkersScope;
  bool                        m_CpuAutocastBefore;
  bool                        m_GpuAutocastBefore;
  c10::InferenceMode          m_InferenceOff{ false };
  at::AutoGradMode            m_GradientsOff{ false };
};

} // namespace impact
