#pragma once

#include "device.h"

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

  /** Calls the action with the first of some items and their number, until all are done.
   *
   * \param action   what it did before memory ran out must not count
   * \param makeRoom null, or gives memory back that is not needed for the batches to come; false: there was none. Where
   *                 there was, the batch stays as large.
   * \throws OutOfMemory when a single item does not fit */
  void run(std::int64_t                                                         count,
           const std::function<void(std::int64_t first, std::int64_t number)> & action,
           const std::function<bool()> &                                        makeRoom = {});

private:
  std::int64_t                             m_Size;
  at::Device                               m_Device;
  std::string                              m_What;
  std::function<void(const std::string &)> m_Log;
};

/** How many items of so many bytes fit into so much memory, half of which is left for what is not foreseen; at least 1,
 * at most `most`. */
std::int64_t numberThatFits(std::uint64_t available, double bytesPerItem, std::int64_t most);

} // namespace impact
