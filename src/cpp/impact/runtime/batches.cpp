#include "impact/runtime/batches.h"

#include "impact/runtime/torch_tasks.h"

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
Batches::runInParallel(std::int64_t count, const Action & action, const std::function<bool()> & makeRoom)
{
  if (!m_Device.is_cpu())
  {
    runInTurn(0, count, action, makeRoom);
    return;
  }
  const std::int64_t size = m_Size;
  std::vector<char>  failed(static_cast<std::size_t>((count + size - 1) / size), 0);
  torchInPieces(count, size, [&](std::int64_t first, std::int64_t number) {
    failed[static_cast<std::size_t>(first / size)] = fits(first, number, action) ? 0 : 1;
  });
  // What several at once had no room for.
  for (std::size_t i = 0; i < failed.size(); ++i)
  {
    const std::int64_t first = static_cast<std::int64_t>(i) * size;
    if (failed[i] != 0)
    {
      runInTurn(first, std::min(count, first + size), action, makeRoom);
    }
  }
}

bool
Batches::fits(std::int64_t first, std::int64_t number, const Action & action)
{
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
    return false; // the exception goes before the next attempt, with what it may hold
  }
  return true;
}

void
Batches::runInTurn(std::int64_t first, std::int64_t end, const Action & action, const std::function<bool()> & makeRoom)
{
  while (first < end)
  {
    const std::int64_t number = std::min(m_Size, end - first);
    if (fits(first, number, action))
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
