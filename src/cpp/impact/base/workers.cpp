#include "impact/base/workers.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace impact
{
namespace
{

thread_local Workers * workersOfThread = nullptr;

/** Waits a few microseconds for what is about to happen: to sleep and be woken takes longer. \return whether it has */
template <typename Condition>
bool
spinUntil(const Condition & condition)
{
  constexpr int turns = 2000;
  for (int i = 0; i < turns; ++i)
  {
    if (condition())
    {
      return true;
    }
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }
  return condition();
}

} // namespace

Workers::Workers(int numberOfThreads)
{
  m_Threads.reserve(static_cast<std::size_t>(std::max(0, numberOfThreads - 1)));
  try
  {
    for (int i = 1; i < numberOfThreads; ++i)
    {
      m_Threads.emplace_back([this, i] { work(i); });
    }
  }
  catch (const std::system_error &)
  {
    // The machine gives no more: those that there are do the work, with the same result.
  }
}

Workers::~Workers()
{
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Ends = true;
    ++m_Round;
  }
  m_Wake.notify_all();
  for (std::thread & thread : m_Threads)
  {
    thread.join();
  }
}

void
Workers::limit(int numberOfThreads)
{
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Limit = std::max(1, numberOfThreads);
  }
  m_Wake.notify_all();
}

void
Workers::takeTasks()
{
  try
  {
    for (std::int64_t i = m_Next++; i < m_Count; i = m_Next++)
    {
      (*m_Task)(i);
    }
  }
  catch (...)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    if (!m_Exception)
    {
      m_Exception = std::current_exception();
    }
    m_Next = m_Count;
  }
}

void
Workers::work(int number)
{
  std::int64_t seen = 0;
  while (true)
  {
    if (!spinUntil([&] { return m_Round != seen; }))
    {
      std::unique_lock<std::mutex> lock(m_Mutex);
      m_Wake.wait(lock, [&] { return m_Round != seen; });
    }
    seen = m_Round;
    if (m_Ends)
    {
      return;
    }
    if (number >= m_Limit)
    {
      std::unique_lock<std::mutex> lock(m_Mutex);
      m_Wake.wait(lock, [&] { return number < m_Limit || m_Next >= m_Count; });
    }
    takeTasks();
    if (--m_Busy == 0)
    {
      const std::lock_guard<std::mutex> lock(m_Mutex);
      m_Done.notify_one();
    }
  }
}

void
Workers::run(std::int64_t count, const Task & task)
{
  if (m_Threads.empty() || count < 2)
  {
    for (std::int64_t i = 0; i < count; ++i)
    {
      task(i);
    }
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Task = &task;
    m_Count = count;
    m_Next = 0;
    m_Exception = nullptr;
    m_Busy = static_cast<int>(m_Threads.size());
    ++m_Round;
  }
  m_Wake.notify_all();
  takeTasks();
  if (numberOfThreads() <= static_cast<int>(m_Threads.size()))
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Wake.notify_all(); // those that the limit kept from the tasks, which now are taken
  }
  if (!spinUntil([this] { return m_Busy == 0; }))
  {
    std::unique_lock<std::mutex> lock(m_Mutex);
    m_Done.wait(lock, [this] { return m_Busy == 0; });
  }
  if (m_Exception)
  {
    std::rethrow_exception(std::exchange(m_Exception, nullptr));
  }
}

WorkersScope::WorkersScope(Workers & workers)
  : m_Before(workersOfThread)
{
  workersOfThread = &workers;
}

WorkersScope::~WorkersScope()
{
  workersOfThread = m_Before;
}

void
inParallel(std::int64_t count, const Workers::Task & task)
{
  // Tasks of tasks are the thread's own.
  Workers * const workers = workersOfThread;
  if (!workers)
  {
    for (std::int64_t i = 0; i < count; ++i)
    {
      task(i);
    }
    return;
  }
  workersOfThread = nullptr;
  struct Restore
  {
    Workers * workers;
    ~Restore() { workersOfThread = workers; }
  } restore{ workers };
  workers->run(count, task);
}

} // namespace impact
