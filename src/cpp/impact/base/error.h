#pragma once

#include "impact/base/export.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace impact
{

/** What a user can mend: the text names the parameter or file, the value, what is allowed and what to do. */
class IMPACT_API Error : public std::runtime_error
{
public:
  using std::runtime_error::runtime_error;
};

/** An error of one parameter, thrown where it is not known how the user wrote the parameter's name. */
class IMPACT_API ParameterError : public Error
{
public:
  ParameterError(std::string parameter, std::string text)
    : Error("Parameter " + parameter + ": " + text)
    , m_Parameter(std::move(parameter))
    , m_Text(std::move(text))
  {}

  const std::string &
  parameter() const
  {
    return m_Parameter;
  }

  const std::string &
  text() const
  {
    return m_Text;
  }

private:
  std::string m_Parameter;
  std::string m_Text;
};

} // namespace impact
