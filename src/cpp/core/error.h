#pragma once

#include <stdexcept>
#include <string>

namespace impact
{

/** What a user can mend: the text names the parameter or file, the value, what is allowed and what to do. */
class Error : public std::runtime_error
{
public:
  using std::runtime_error::runtime_error;
};

} // namespace impact
