#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace impact
{

/** Threads that wait for work: one registration's own, so that one number bounds what it uses. torch's are not used for
 * our loops: its header runs them serially in what is built without the OpenMP that torch was built with. */
class Workers
{
public:
  using Task = std::function<void(std::int64_t)>;

  /** \param numberOfThreads with the calling one */
  explicit Workers(int numberOfThreads);
  ~Workers();
  Workers(const Workers &) = delete;
  Workers & operator=(const Workers &) = delete;

  /** How many take tasks, with the calling one. */
  int
  numberOfThreads() const
  {
    return std::min(m_Limit.load(), static_cast<int>(m_Threads.size()) + 1);
  }

  /** Bounds how many take tasks, with the calling one. May be called from any thread; those that a higher limit lets in
   * join what is going on. */
  void limit(int numberOfThreads);

  /** Calls the task with 0 ... count - 1; the first exception is passed on. To be called from one thread at a time, and
   * not from within a task. */
  void run(std::int64_t count, const Task & task);

private:
  void work(int number);
  void takeTasks();

  std::vector<std::thread>  m_Threads;
  std::mutex                m_Mutex;
  std::condition_variable   m_Wake;
  std::condition_variable   m_Done;
  std::atomic<std::int64_t> m_Round{ 0 };
  std::atomic<int>          m_Busy{ 0 };
  std::atomic<bool>         m_Ends{ false };
  std::atomic<int>          m_Limit{ std::numeric_limits<int>::max() };
  std::atomic<std::int64_t> m_Next{ 0 };
  std::int64_t              m_Count{ 0 };
  const Task *              m_Task{ nullptr };
  std::exception_ptr        m_Exception;
};

/** Makes some workers those of inParallel() in this thread, for as long as this lives. */
class WorkersScope
{
public:
  explicit WorkersScope(Workers & workers);
  ~WorkersScope();
  WorkersScope(const WorkersScope &) = delete;
  WorkersScope & operator=(const WorkersScope &) = delete;

private:
  Workers * m_Before;
};

/** Calls the task with 0 ... count - 1 from the workers of this thread; one after the other where it has none, as in
 * the workers themselves. */
void inParallel(std::int64_t count, const Workers::Task & task);

} // namespace impact
