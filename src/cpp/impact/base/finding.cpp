#include "impact/base/finding.h"

#include <algorithm>

namespace impact
{

std::string
toString(Problem::Kind kind)
{
  switch (kind)
  {
    case Problem::Kind::Value:
      return "value";
    case Problem::Kind::Count:
      return "count";
    case Problem::Kind::MissingParameter:
      return "missing-parameter";
    case Problem::Kind::Mismatch:
      return "mismatch";
    case Problem::Kind::UnknownParameter:
      return "unknown-parameter";
    case Problem::Kind::Unused:
      return "unused";
    case Problem::Kind::Component:
      return "component";
    case Problem::Kind::MissingFile:
      return "missing-file";
    case Problem::Kind::Model:
      return "model";
    case Problem::Kind::Memory:
      return "memory";
    case Problem::Kind::Machine:
      return "machine";
    case Problem::Kind::Image:
      return "image";
  }
  return {};
}

std::string
Finding::front() const
{
  if (parameter.empty() || namesFile)
  {
    return {};
  }
  std::string result = parameter;
  for (std::size_t i = 0; i < levels.size(); ++i)
  {
    const bool last = i + 1 == levels.size();
    result += i == 0 ? (last ? " (resolution level " : " (resolution levels ") : (last ? " and " : ", ");
    result += std::to_string(levels[i]) + (last ? ")" : "");
  }
  return result + ": ";
}

std::string
Finding::message() const
{
  return front() + whole();
}

void
addFinding(std::vector<Finding> & findings, Finding finding)
{
  for (Finding & known : findings)
  {
    const bool isOfSameParameter = known.parameter == finding.parameter || (known.namesFile && finding.namesFile);
    if (known.severity == finding.severity && isOfSameParameter && known.whole() == finding.whole())
    {
      for (const int level : finding.levels)
      {
        if (std::find(known.levels.begin(), known.levels.end(), level) == known.levels.end())
        {
          known.levels.push_back(level);
        }
      }
      return;
    }
  }
  findings.push_back(std::move(finding));
}

std::string
messagesOf(const std::vector<Finding> & findings, Finding::Severity severity)
{
  std::string result;
  for (const Finding & finding : findings)
  {
    if (finding.severity == severity)
    {
      result += (result.empty() ? "" : "\n") + finding.message();
    }
  }
  return result;
}

bool
hasErrors(const std::vector<Finding> & findings)
{
  return std::any_of(findings.begin(), findings.end(), [](const Finding & finding) {
    return finding.severity == Finding::Severity::Error;
  });
}

} // namespace impact
