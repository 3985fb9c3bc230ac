#pragma once

#include "impact/base/problem.h"

#include <string>
#include <vector>

namespace impact
{

/** Something a parameter map says that cannot be, or is doubtful. */
struct Finding : Problem
{
  enum class Severity
  {
    Warning,
    Error
  };

  Severity         severity{ Severity::Error };
  std::string      parameter{};        // as the user wrote it; empty where it is about none
  std::vector<int> levels{};           // the resolution levels it holds for; empty where it is about all of the map
  bool             namesFile{ false }; // the text says which model file it is about, in place of the parameter

  /** What a message begins with: parameter and levels, or nothing. */
  std::string front() const;

  /** Text and remedy with that in front. */
  std::string message() const;
};

/** Adds a finding, or the levels of a finding to the same one of other levels. */
void addFinding(std::vector<Finding> & findings, Finding finding);

/** The messages of one severity, one per line. */
std::string messagesOf(const std::vector<Finding> & findings, Finding::Severity severity);

bool hasErrors(const std::vector<Finding> & findings);

} // namespace impact
