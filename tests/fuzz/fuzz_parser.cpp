// The parser of parameter maps under any input: for libFuzzer, and for the driver beside it.
//
// The input is a parameter file. It is split into names and values as elastix does it, only without refusing anything,
// and given to the parser, whose every finding and setting is then written out.

#include "impact/base/finding.h"
#include "impact/settings/settings.h"
#include "impact/settings/settings_parser.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

namespace
{

impact::ParameterMap
asMap(const std::string & text)
{
  impact::ParameterMap map;
  std::istringstream   lines(text);
  for (std::string line; std::getline(lines, line);)
  {
    line = line.substr(0, line.find("//"));
    const auto begin = line.find('(');
    const auto end = line.rfind(')');
    if (begin == std::string::npos || end == std::string::npos || end < begin)
    {
      continue;
    }
    std::string              name;
    std::vector<std::string> values(1);
    bool                     quoted = false;
    for (const char character : line.substr(begin + 1, end - begin - 1))
    {
      if (character == '"')
      {
        quoted = !quoted;
      }
      else if (character != ' ' || quoted)
      {
        values.back() += character;
        continue;
      }
      if (!values.back().empty())
      {
        values.emplace_back();
      }
    }
    values.erase(std::remove(values.begin(), values.end(), ""), values.end());
    if (!values.empty())
    {
      name = values.front();
      values.erase(values.begin());
      map[name] = values;
    }
  }
  return map;
}

int
number(const impact::ParameterMap & map, const std::string & name, int least, int most)
{
  const auto found = map.find(name);
  const int  value = found == map.end() || found->second.empty() ? least : std::atoi(found->second.front().c_str());
  return std::clamp(value, least, most);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const std::uint8_t * data, std::size_t size)
{
  const impact::ParameterMap map = asMap(std::string(reinterpret_cast<const char *>(data), size));
  const int                  levels = number(map, "NumberOfResolutions", 1, 12);
  const int                  dimension = number(map, "FixedImageDimension", 2, 3);
  for (const std::string label : { "", "Metric0" })
  {
    const impact::ParsedSettings parsed = impact::parseSettings(map, label, levels, dimension);
    if (parsed.levels.size() != static_cast<std::size_t>(levels))
    {
      std::abort();
    }
    std::size_t written = 0;
    bool        wrong = false;
    for (const impact::Finding & finding : parsed.findings)
    {
      written += finding.message().size();
      wrong = wrong || finding.severity == impact::Finding::Severity::Error;
    }
    for (const impact::LevelSettings & level : parsed.levels)
    {
      written += describe(level).size();
      // What the parser lets through, the rest of the program relies on.
      if (!wrong && (level.fixedModels.empty() || level.movingModels.empty() || level.layers.empty()))
      {
        std::abort();
      }
    }
    if (written == 0)
    {
      std::abort();
    }
  }
  return 0;
}
