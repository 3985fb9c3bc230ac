#pragma once

#include "impact/base/error.h"

#include <chrono>
#include <string>

namespace impact
{

/** A model did not come back in time. */
class TimeLimitError : public ModelError
{
public:
  using ModelError::ModelError;
};

/** How long this thread's models may run while this lives. torch cannot be interrupted, but what never ends in
 * TorchScript is a loop, and each turn of a model's loops asks whether time is up (loopsAskForTime()). Of several, the
 * outermost counts. The limit: IMPACT_MODEL_TIME_LIMIT, seconds, 300 by default, 0 for none.
 * \throws Error where that variable is no such number */
class TimeLimit
{
public:
  TimeLimit();
  ~TimeLimit();
  TimeLimit(const TimeLimit &) = delete;
  TimeLimit & operator=(const TimeLimit &) = delete;

  /** Whether this thread has a limit, and it is over. */
  static bool isOver();

  /** What to say of a model then. */
  static TimeLimitError errorOf(const std::string & path, const std::string & input);

private:
  bool m_IsOutermost;
};

} // namespace impact
