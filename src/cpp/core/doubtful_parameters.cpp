#include "doubtful_parameters.h"

#include "parameter_table.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <optional>

namespace impact
{
namespace
{

bool
startsWith(const std::string & text, const std::string & start)
{
  return text.compare(0, start.size(), start) == 0;
}

std::string
lowerCase(std::string text)
{
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other. */
std::size_t
editDistance(const std::string & a, const std::string & b)
{
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
  {
    for (std::size_t j = 0; j <= b.size(); ++j)
    {
      if (i == 0 || j == 0)
      {
        rows[i][j] = i + j;
        continue;
      }
      const std::size_t replaced = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({ rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced });
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
      {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows.back().back();
}

/** Every name of every parameter, without prefix, label and level. */
const std::vector<std::string> &
allNames()
{
  static const std::vector<std::string> all = [] {
    std::vector<std::string> names;
    for (const ParameterDescription & parameter : parameterTable())
    {
      for (const std::string & name : namesOf(parameter))
      {
        names.push_back(name);
      }
    }
    return names;
  }();
  return all;
}

struct Spelling
{
  std::string        label;
  bool               prefixed{ false };
  std::string        name;  // what is left of label, Impact and level
  std::optional<int> level; // of Impact<Name><level>
  bool               known{ false };

  int
  dialect() const
  {
    return level ? 1 : (prefixed ? 2 : 3);
  }
};

/** Takes a parameter's name apart; nothing for a name that belongs to another metric of the map. */
std::optional<Spelling>
takeApart(const std::string & text, const std::string & label)
{
  Spelling    spelling;
  std::string rest = text;
  if (!label.empty() && startsWith(rest, label))
  {
    spelling.label = label;
    rest = rest.substr(label.size());
  }
  else if (startsWith(rest, "Metric") && rest.size() > 6 && std::isdigit(static_cast<unsigned char>(rest[6])))
  {
    return std::nullopt;
  }
  if (startsWith(rest, "Impact"))
  {
    spelling.prefixed = true;
    rest = rest.substr(6);
    const auto digits = rest.find_last_not_of("0123456789");
    if (digits != std::string::npos && digits + 1 < rest.size() && rest.size() - digits <= 5)
    {
      spelling.level = std::atoi(rest.c_str() + digits + 1);
      rest.resize(digits + 1);
    }
  }
  spelling.name = rest;
  spelling.known = std::find(allNames().begin(), allNames().end(), rest) != allNames().end();
  return spelling;
}

/** The parameter whose name is nearest, and how far it is; case does not count. */
std::pair<std::string, std::size_t>
nearest(const std::string & name)
{
  std::pair<std::string, std::size_t> best{ "", std::string::npos };
  for (const std::string & candidate : allNames())
  {
    const std::size_t distance = editDistance(lowerCase(name), lowerCase(candidate));
    if (distance < best.second)
    {
      best = { candidate, distance };
    }
  }
  return best;
}

void
warn(std::vector<Finding> & findings, const std::string & parameter, const std::string & text)
{
  addFinding(findings, { Finding::Severity::Warning, parameter, text, {} });
}

/** Where one parameter is written in several dialects, those that are not read. */
void
findOutranked(const ParameterMap & map, const std::string & label, std::vector<Finding> & findings)
{
  for (const std::string & name : allNames())
  {
    std::array<std::vector<std::string>, 3> spellings; // per dialect, in order of rank
    for (const auto & [text, values] : map)
    {
      const auto spelling = takeApart(text, label);
      if (spelling && spelling->name == name && !values.empty())
      {
        spellings[static_cast<std::size_t>(spelling->dialect() - 1)].push_back(text);
      }
    }
    std::string used;
    for (const auto & ofDialect : spellings)
    {
      for (const std::string & text : ofDialect)
      {
        if (!used.empty())
        {
          warn(findings, text, "it is not used, because " + used + " stands in the map too. Keep one of them.");
        }
      }
      if (used.empty() && !ofDialect.empty())
      {
        used = ofDialect.front();
      }
    }
  }
}

} // namespace

void
findDoubtfulParameters(const ParameterMap &   map,
                       const std::string &    label,
                       int                    numberOfLevels,
                       std::vector<Finding> & findings)
{
  for (const auto & [text, values] : map)
  {
    const auto spelling = takeApart(text, label);
    if (!spelling)
    {
      continue;
    }
    if (spelling->known)
    {
      if (spelling->level.value_or(0) >= numberOfLevels)
      {
        warn(findings,
             text,
             "it is not used, because NumberOfResolutions is " + std::to_string(numberOfLevels) +
               ": the levels are counted from 0 to " + std::to_string(numberOfLevels - 1) + ".");
      }
      continue;
    }
    const auto [candidate, distance] = nearest(spelling->name);
    if (spelling->prefixed || distance <= 1)
    {
      const std::string level = spelling->level ? std::to_string(*spelling->level) : "";
      warn(findings,
           text,
           "there is no such parameter. The nearest is " + spelling->label + (spelling->prefixed ? "Impact" : "") +
             candidate + level + ".");
    }
  }
  findOutranked(map, label, findings);
}

} // namespace impact
