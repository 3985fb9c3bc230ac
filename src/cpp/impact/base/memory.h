#pragma once

#include <cstdint>
#include <string>

namespace impact
{

/** Bytes that this process may still use: of the machine, its swap space included, or of the control group it runs in,
 * the lesser; the largest number where neither can be told. */
std::uint64_t availableMemory();

/** Gives the system back what was freed: networks leave many tensors' worth of it between others that are kept. */
void releaseFreedMemory();

/** As messages have it: 3.2 GiB. */
std::string gibibytes(double bytes);

} // namespace impact
