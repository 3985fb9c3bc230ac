#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace impact
{

/** Things that are dear to make, kept and lent to one user at a time. Thread-safe. */
template <typename T>
class Pool
{
public:
  /** One of them, for as long as this lives. */
  class Loan
  {
  public:
    explicit Loan(Pool & pool)
      : m_Pool(&pool)
      , m_Thing(pool.take())
    {}
    ~Loan() { m_Pool->giveBack(std::move(m_Thing)); }
    Loan(const Loan &) = delete;
    Loan & operator=(const Loan &) = delete;

    T &
    operator*() const
    {
      return *m_Thing;
    }

  private:
    Pool *             m_Pool;
    std::unique_ptr<T> m_Thing;
  };

private:
  std::unique_ptr<T>
  take()
  {
    {
      const std::lock_guard<std::mutex> lock(m_Mutex);
      if (!m_Free.empty())
      {
        std::unique_ptr<T> thing = std::move(m_Free.back());
        m_Free.pop_back();
        return thing;
      }
    }
    return std::make_unique<T>();
  }

  void
  giveBack(std::unique_ptr<T> thing)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Free.push_back(std::move(thing));
  }

  std::mutex                      m_Mutex;
  std::vector<std::unique_ptr<T>> m_Free;
};

} // namespace impact
