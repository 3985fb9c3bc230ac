#include "impact/settings/doubtful_parameters.h"

#include "impact/settings/parameter_table.h"
#include "impact/settings/values.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <tuple>
#include <utility>

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
    // A level as the reader looks for it: without leading zeros.
    const auto               end = rest.find_last_not_of("0123456789") + 1;
    const std::optional<int> level = toNumber<int>(rest.substr(end));
    if (level && std::to_string(*level) == rest.substr(end))
    {
      spelling.level = level;
      rest.resize(end);
    }
  }
  spelling.name = rest;
  spelling.known = std::find(allNames().begin(), allNames().end(), rest) != allNames().end();
  return spelling;
}

/** The parameter whose name, with or without prefix, is nearest to a text, and how far it is; case does not count. What
 * is no nearer than `bound` is not looked for. */
std::pair<std::string, std::size_t>
nearest(const std::string & text, const std::vector<std::string> & prefixes, std::size_t bound)
{
  constexpr std::size_t               longest = 64; // what comes after it makes no difference, and may be a whole file
  const std::string                   wanted = lowerCase(text.substr(0, longest));
  std::pair<std::string, std::size_t> best{ "", bound };
  for (const std::string & prefix : prefixes)
  {
    for (const std::string & name : allNames())
    {
      const std::string candidate = lowerCase(prefix + name);
      if (std::max(wanted.size(), candidate.size()) - std::min(wanted.size(), candidate.size()) >= best.second)
      {
        continue; // the difference in length alone is as much
      }
      const std::size_t distance = editDistance(wanted, candidate);
      if (distance < best.second)
      {
        best = { prefix + name, distance };
      }
    }
  }
  return best;
}

void
warn(std::vector<Finding> & findings, const std::string & parameter, Problem problem)
{
  addFinding(findings, { std::move(problem), Finding::Severity::Warning, parameter });
}

/** Names that no level reads, because another spelling of the parameter, or those of both images, come first. */
void
findOutranked(const ParameterMap &    map,
              const ParameterReader & reader,
              const std::string &     label,
              std::vector<Finding> &  findings)
{
  const auto numberOfLevels = static_cast<int>(reader.numberOfLevels());
  for (const auto & [text, values] : map)
  {
    const auto spelling = takeApart(text, label);
    if (!spelling || !spelling->known || values.empty() || spelling->level.value_or(0) >= numberOfLevels)
    {
      continue;
    }
    std::string winner;
    bool        used = false;
    for (int level = 0; level < numberOfLevels; ++level)
    {
      const std::string read = reader.spelling(spelling->name, level);
      const std::string fixed = reader.spelling("Fixed" + spelling->name, level);
      const std::string moving = reader.spelling("Moving" + spelling->name, level);
      const bool        ofBoth = !fixed.empty() && !moving.empty();
      used = used || (read == text && !ofBoth);
      if (winner.empty())
      {
        winner = ofBoth ? fixed + " and " + moving : (read != text ? read : "");
      }
    }
    // What another metric of the map reads is no concern of this one.
    const bool ofOthers = spelling->label.empty() && !label.empty() && startsWith(winner, label);
    if (!used && !ofOthers)
    {
      const bool several = winner.find(" and ") != std::string::npos;
      warn(findings,
           text,
           { Problem::Kind::Unused,
             "it is not used, because " + winner + (several ? " stand" : " stands") + " in the map too.",
             "Keep one of them." });
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
             { Problem::Kind::Unused,
               "it is not used, because NumberOfResolutions is " + std::to_string(numberOfLevels) +
                 ": the levels are counted from 0 to " + std::to_string(numberOfLevels - 1) + "." });
      }
      continue;
    }
    // Names that start with Impact can be meant for nobody else; others only if they are one letter off.
    const std::string rest = text.substr(spelling->label.size());
    const std::string bare = rest.substr(0, rest.find_last_not_of("0123456789") + 1);
    auto [candidate, distance] =
      spelling->prefixed ? nearest(bare, { "Impact" }, std::string::npos) : nearest(bare, { "", "Impact" }, 2);
    if (!spelling->prefixed && distance > 1)
    {
      std::tie(candidate, distance) = nearest(rest, { "" }, 2);
    }
    if (spelling->prefixed || distance <= 1)
    {
      const bool ofLevel = startsWith(candidate, "Impact") && bare.size() < rest.size();
      warn(findings,
           text,
           { Problem::Kind::UnknownParameter,
             "there is no such parameter.",
             "The nearest is " + spelling->label + candidate +
               (ofLevel ? std::to_string(toNumber<int>(rest.substr(bare.size())).value_or(0)) : "") + "." });
    }
  }
  findOutranked(map, ParameterReader(map, label, numberOfLevels), label, findings);
}

} // namespace impact
