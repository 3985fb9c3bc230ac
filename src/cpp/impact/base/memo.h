#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace impact
{

/** What has been found out, by key. Thread-safe; what was found stays where it is. */
template <typename Key, typename Value>
class Memo
{
public:
  /** \return a copy; none where it was not found out yet */
  std::optional<Value>
  find(const Key & key) const
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    const auto                        place = m_Values.find(key);
    return place == m_Values.end() ? std::nullopt : std::optional(place->second);
  }

  void
  keep(const Key & key, Value value)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    m_Values.insert_or_assign(key, std::move(value));
  }

  /** What was found, or what `make` finds now: threads that ask meanwhile wait, and `make` must not ask the same memo.
   */
  template <typename Make>
  const Value &
  of(const Key & key, const Make & make)
  {
    const std::lock_guard<std::mutex> lock(m_Mutex);
    auto                              place = m_Values.find(key);
    if (place == m_Values.end())
    {
      place = m_Values.emplace(key, make()).first;
    }
    return place->second;
  }

private:
  mutable std::mutex   m_Mutex;
  std::map<Key, Value> m_Values;
};

} // namespace impact
