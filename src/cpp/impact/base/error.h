#pragma once

#include "impact/base/export.h"
#include "impact/base/problem.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace impact
{

/** What a user can mend: the text names the parameter or file, the value and what is allowed, the remedy what to do;
 * what() has both. */
class IMPACT_API Error : public std::runtime_error
{
public:
  explicit Error(Problem problem)
    : Error("", std::move(problem))
  {}

  explicit Error(std::string text, std::string remedy = {})
    : Error(Problem{ Problem::Kind::Machine, std::move(text), std::move(remedy) })
  {}

  const Problem &
  problem() const
  {
    return m_Problem;
  }

protected:
  /** \param front what what() has before the text */
  Error(const std::string & front, Problem problem)
    : std::runtime_error(front + problem.whole())
    , m_Problem(std::move(problem))
  {}

private:
  Problem m_Problem;
};

/** An error of one parameter, thrown where it is not known how the user wrote the parameter's name. */
class IMPACT_API ParameterError : public Error
{
public:
  ParameterError(std::string   parameter,
                 std::string   text,
                 std::string   remedy = {},
                 Problem::Kind kind = Problem::Kind::Model)
    : Error("Parameter " + parameter + ": ", Problem{ kind, std::move(text), std::move(remedy) })
    , m_Parameter(std::move(parameter))
  {}

  const std::string &
  parameter() const
  {
    return m_Parameter;
  }

private:
  std::string m_Parameter;
};

/** An error of a model file, which its text begins with. */
class IMPACT_API ModelError : public Error
{
public:
  /** \param text what comes after the file, with what is between */
  ModelError(const std::string & path, const std::string & text, std::string remedy = {})
    : Error(Problem{ Problem::Kind::Model, "Model file \"" + path + "\"" + text, std::move(remedy), path })
  {}
};

} // namespace impact
