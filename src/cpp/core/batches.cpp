#include "batches.h"

#include <algorithm>

namespace impact
{

Batches::Batches(std::int64_t first, at::Device device, std::string what, std::function<void(const std::string &)> log)
  : m_Size(std::max<std::int64_t>(1, first))
  , m_Device(device)
  , m_What(std::move(what))
  , m_Log(std::move(log))
{}

void
Batches::run(std::int64_t                                                         count,
             const std::function<void(std::int64_t first, std::int64_t number)> & action,
             const std::function<bool()> &                                        makeRoom)
{
  for (std::int64_t first = 0; first < count;)
  {
    const std::int64_t number = std::min(m_Size, count - first);
    bool               fitted = true;
    try
    {
      action(first, number);
    }
    catch (const std::exception & error)
    {
      if (!isOutOfMemory(error))
      {
        throw;
      }
      fitted = false; // the exception goes before the next attempt, with what it may hold
    }
    if (fitted)
    {
      first += number;
    }
    else if (!makeRoom || !makeRoom())
    {
      if (number == 1)
      {
        throw outOfMemory(m_Device, "a single " + m_What);
      }
      m_Size = number / 2;
      if (m_Log)
      {
        m_Log("The memory of " + nameOf(m_Device) + " ran out with batches of " + std::to_string(number) +
              ": from now on they are of " + std::to_string(m_Size) + ", smaller where that is still too much.");
        m_Log = {};
      }
    }
  }
}

std::int64_t
numberThatFits(std::uint64_t available, double bytesPerItem, std::int64_t most)
{
  const double number = 0.5 * static_cast<double>(available) / std::max(bytesPerItem, 1.0);
  return number < static_cast<double>(most) ? std::max<std::int64_t>(1, static_cast<std::int64_t>(number)) : most;
}

} // namespace impact
