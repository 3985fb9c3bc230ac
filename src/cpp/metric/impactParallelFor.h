#ifndef impactParallelFor_h
#define impactParallelFor_h

#include "itkPlatformMultiThreader.h"

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>

namespace impact
{

/** Calls the function with 0 ... count - 1 from the threads of an ITK threader; the first exception is passed on. */
template <typename TThreader>
void
ParallelFor(TThreader & threader, std::size_t count, const std::function<void(std::size_t)> & function)
{
  struct Work
  {
    std::size_t                              count;
    const std::function<void(std::size_t)> & function;
    std::atomic<std::size_t>                 next{ 0 };
    std::exception_ptr                       exception{};
    std::mutex                               mutex{};
  };
  Work work{ count, function };

  const itk::ThreadFunctionType run = [](void * argument) -> itk::ITK_THREAD_RETURN_TYPE {
    auto & shared = *static_cast<Work *>(static_cast<itk::MultiThreaderBase::WorkUnitInfo *>(argument)->UserData);
    try
    {
      for (std::size_t i = shared.next++; i < shared.count; i = shared.next++)
      {
        shared.function(i);
      }
    }
    catch (...)
    {
      const std::lock_guard<std::mutex> lock(shared.mutex);
      shared.exception = std::current_exception();
      shared.next = shared.count;
    }
    return itk::ITK_THREAD_RETURN_DEFAULT_VALUE;
  };
  threader.SetSingleMethodAndExecute(run, &work);
  if (work.exception)
  {
    std::rethrow_exception(work.exception);
  }
}

} // namespace impact

#endif
