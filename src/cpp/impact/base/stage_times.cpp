#include "impact/base/stage_times.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include <sys/resource.h>

namespace impact
{

std::string
StageTimes::describe() const
{
  constexpr std::array<const char *, numberOfStages> names{ "features",           "mapping points",
                                                            "sampling",           "network",
                                                            "distance",           "chain rule",
                                                            "mutual information", "bending energy" };
  std::ostringstream                                 text;
  text << std::fixed << "features " << std::setprecision(3) << seconds.front() << " s";
  if (secondsAside > 0.0)
  {
    text << " (of " << secondsAside << " s, the rest beside elastix's estimation of the step size)";
  }
  text << "; " << evaluations << " evaluations, each";
  for (std::size_t i = 1; i < numberOfStages; ++i)
  {
    if (i >= static_cast<std::size_t>(Stage::MutualInformation) && seconds[i] == 0.0)
    {
      continue; // where there is none
    }
    text << (i > 1 ? ", " : " ") << names[i] << " "
         << 1e3 * seconds[i] / static_cast<double>(std::max<std::int64_t>(1, evaluations)) << " ms";
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  text << "; peak memory of the process " << usage.ru_maxrss / 1024 << " MiB";
  return text.str();
}

} // namespace impact
