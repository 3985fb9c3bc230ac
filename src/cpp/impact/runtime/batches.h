#pragma once

#include "impact/runtime/device.h"

namespace impact
{

/** How much goes to a device at once: begins with a bound and halves it where memory runs out. */
class Batches
{
public:
  /** \param first the largest number of items at once
   * \param what  an item, as messages have it: "patch"
   * \param log   null, or told, once, that the batch was halved */
  Batches(std::int64_t first, at::Device device, std::string what, std::function<void(const std::string &)> log);

  std::int64_t
  size() const
  {
    return m_Size;
  }

  using Action = std::function<void(std::int64_t first, std::int64_t number)>;

  /** Calls the action with the first of some items and their number, until all are done, in order.
   *
   * \param action   what it did before memory ran out must not count
   * \param makeRoom null, or gives memory back that is not needed for the batches to come; false: there was none. Where
   *                 there was, the batch stays as large.
   * \throws OutOfMemory when a single item does not fit */
  void
  run(std::int64_t count, const Action & action, const std::function<bool()> & makeRoom = {})
  {
    runInTurn(0, count, action, makeRoom);
  }

  /** The same, on the CPU from the workers, so that the action is called by several threads and in any order; those
   * that several at once had no room for, in turn. */
  void runInParallel(std::int64_t count, const Action & action, const std::function<bool()> & makeRoom = {});

private:
  /** \return whether there was memory for it */
  static bool fits(std::int64_t first, std::int64_t number, const Action & action);

  void runInTurn(std::int64_t first, std::int64_t end, const Action & action, const std::function<bool()> & makeRoom);

  std::int64_t                             m_Size;
  at::Device                               m_Device;
  std::string                              m_What;
  std::function<void(const std::string &)> m_Log;
};

/** How many items of so many bytes fit into so much memory, half of which is left for what is not foreseen; at least 1,
 * at most `most`. */
std::int64_t numberThatFits(std::uint64_t available, double bytesPerItem, std::int64_t most);

} // namespace impact
