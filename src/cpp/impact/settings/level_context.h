#pragma once

#include "impact/base/finding.h"
#include "impact/settings/parameter_reader.h"

#include <map>
#include <string>

namespace impact
{

/** What the parsers of one resolution level share: where they read, and where they say what is wrong. */
struct LevelContext
{
  const ParameterReader &              reader;
  int                                  level;
  int                                  imageDimension;
  std::vector<Finding> &               findings;
  std::map<std::string, std::string> & names; // parameter, e.g. FixedPatchSize, to its name as the user wrote it

  /** \param remedy may be empty; like the text without its full stop */
  void
  error(Problem::Kind kind, const std::string & parameter, const std::string & text, const std::string & remedy)
  {
    addFinding(
      findings,
      { { kind, text + ".", remedy.empty() ? "" : remedy + "." }, Finding::Severity::Error, parameter, { level } });
  }

  void
  warnOfNoEffect(const std::string & parameter, const std::string & text)
  {
    addFinding(findings, { { Problem::Kind::Unused, text + "." }, Finding::Severity::Warning, parameter, { level } });
  }

  void
  wrongValue(const ParameterEntry & entry, const std::string & value, const std::string & allowed)
  {
    error(Problem::Kind::Value, entry.name, "\"" + value + "\" is not allowed", "Allowed: " + allowed);
  }

  /** Remembers under which name a parameter was found, and warns of values for levels that there are not. */
  std::optional<ParameterEntry>
  note(const std::string & parameter, std::optional<ParameterEntry> entry)
  {
    if (!entry)
    {
      return entry;
    }
    names[parameter] = entry->name;
    if (entry->levels > reader.numberOfLevels())
    {
      addFinding(
        findings,
        { { Problem::Kind::Unused,
            "it has entries for " + std::to_string(entry->levels) + " resolution levels, but NumberOfResolutions is " +
              std::to_string(reader.numberOfLevels()) + ": the rest is not used.",
            "The values of one level go into one entry, e.g. \"1 2\"." },
          Finding::Severity::Warning,
          entry->name });
    }
    return entry;
  }
};

} // namespace impact
