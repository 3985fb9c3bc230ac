#include "impact/models/time_limit.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <sstream>

namespace impact
{
namespace
{

using Clock = std::chrono::steady_clock;

thread_local std::optional<Clock::time_point> timeIsUp;
thread_local int                              numberOfLimits = 0;

double
limitInSeconds()
{
  const char * const text = std::getenv("IMPACT_MODEL_TIME_LIMIT");
  if (text == nullptr || *text == '\0')
  {
    return 300.0;
  }
  char *       end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (*end != '\0' || !std::isfinite(seconds) || seconds < 0.0)
  {
    throw Error(std::string("The environment variable IMPACT_MODEL_TIME_LIMIT is \"") + text + "\".",
                "Allowed: the seconds that a model may take for its first run, or 0 for no limit; or unset, 300.");
  }
  return seconds;
}

} // namespace

TimeLimit::TimeLimit()
  : m_IsOutermost(numberOfLimits == 0)
{
  const double seconds = m_IsOutermost ? limitInSeconds() : 0.0;
  if (seconds > 0.0)
  {
    timeIsUp = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                                std::min(seconds, 1e9))); // more does not fit into the clock
  }
  ++numberOfLimits;
}

TimeLimit::~TimeLimit()
{
  --numberOfLimits;
  if (m_IsOutermost)
  {
    timeIsUp.reset();
  }
}

bool
TimeLimit::isOver()
{
  return timeIsUp && Clock::now() > *timeIsUp;
}

TimeLimitError
TimeLimit::errorOf(const std::string & path, const std::string & input)
{
  std::ostringstream seconds;
  seconds << limitInSeconds();
  return TimeLimitError(path,
                        " was stopped: it had not come back after " + seconds.str() +
                          " s of its first run, for an input of " + input + ".",
                        "A loop in it may never end; where it is only slow, set the environment variable "
                        "IMPACT_MODEL_TIME_LIMIT to more seconds, or to 0 for no limit.");
}

} // namespace impact
