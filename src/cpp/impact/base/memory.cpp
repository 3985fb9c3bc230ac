#include "impact/base/memory.h"

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <limits>
#include <sstream>

#include <malloc.h>

namespace impact
{
namespace
{

constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

std::uint64_t
ofMachine()
{
  std::ifstream file("/proc/meminfo");
  std::uint64_t total = 0;
  bool          found = false;
  for (std::string line; std::getline(file, line);)
  {
    std::istringstream words(line);
    std::string        name;
    std::uint64_t      kibibytes = 0;
    words >> name >> kibibytes;
    if (name == "MemAvailable:" || name == "SwapFree:")
    {
      total += kibibytes * 1024;
      found = true;
    }
  }
  return found ? total : unknown;
}

std::uint64_t
ofControlGroup()
{
  const auto number = [](const char * path) {
    std::ifstream file(path);
    std::uint64_t value = unknown;
    return file >> value ? value : unknown; // "max": no bound
  };
  const std::uint64_t most = number("/sys/fs/cgroup/memory.max");
  std::uint64_t       used = number("/sys/fs/cgroup/memory.current");
  // Cached files make room when it is needed.
  std::ifstream statistics("/sys/fs/cgroup/memory.stat");
  std::string   name;
  for (std::uint64_t value = 0; used != unknown && statistics >> name >> value;)
  {
    used -= name == "inactive_file" || name == "slab_reclaimable" ? std::min(used, value) : 0;
  }
  return most == unknown || used == unknown ? unknown : most > used ? most - used : 0;
}

} // namespace

std::uint64_t
availableMemory()
{
  return std::min(ofMachine(), ofControlGroup());
}

void
releaseFreedMemory()
{
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::string
gibibytes(double bytes)
{
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << bytes / (1024.0 * 1024.0 * 1024.0) << " GiB";
  return text.str();
}

} // namespace impact
