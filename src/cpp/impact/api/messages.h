#pragma once

#include "impact/base/export.h"

#include <exception>
#include <string>

namespace impact
{

/** What an exception says, without the C++ stack that torch adds to its own. */
IMPACT_API std::string messageOf(const std::exception & error);

} // namespace impact
