#include "impact/base/finding.h"

#include <algorithm>

namespace impact
{

std::string
Finding::message() const
{
  std::string front = parameter;
  for (std::size_t i = 0; !parameter.empty() && i < levels.size(); ++i)
  {
    const bool last = i + 1 == levels.size();
    front += i == 0 ? (last ? " (resolution level " : " (resolution levels ") : (last ? " and " : ", ");
    front += std::to_string(levels[i]) + (last ? ")" : "");
  }
  return front.empty() ? text : front + ": " + text;
}

void
addFinding(std::vector<Finding> & findings, Finding finding)
{
  for (Finding & known : findings)
  {
    if (known.severity == finding.severity && known.parameter == finding.parameter && known.text == finding.text)
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
