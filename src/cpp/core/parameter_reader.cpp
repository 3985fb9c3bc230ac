#include "parameter_reader.h"

#include <algorithm>

namespace impact
{
namespace
{

const std::string &
entryOfLevel(const std::vector<std::string> & entries, int level)
{
  const auto index = static_cast<std::size_t>(level);
  return index < entries.size() ? entries[index] : entries.front();
}

} // namespace

std::vector<std::string>
split(const std::string & text, const std::string & separators)
{
  std::vector<std::string> parts;
  for (std::size_t begin = text.find_first_not_of(separators); begin != std::string::npos;)
  {
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(separators, end);
  }
  return parts;
}

std::optional<ParameterReader::Found>
ParameterReader::find(const std::string & name, int level) const
{
  std::vector<std::string> labels{ "" };
  if (!m_Label.empty())
  {
    labels.insert(labels.begin(), m_Label);
  }
  const auto lookUp = [&](const std::string & candidate, bool ofThisLevel) -> std::optional<Found> {
    for (const std::string & label : labels)
    {
      std::vector<std::string> entries = m_Lookup(label + candidate);
      if (!entries.empty())
      {
        return Found{ label + candidate, std::move(entries), ofThisLevel };
      }
    }
    return std::nullopt;
  };

  for (const int l : { level, 0 })
  {
    if (auto found = lookUp("Impact" + name + std::to_string(l), true))
    {
      return found;
    }
  }
  for (const char * const prefix : { "Impact", "" })
  {
    if (auto found = lookUp(prefix + name, false))
    {
      return found;
    }
  }
  return std::nullopt;
}

std::optional<ParameterEntry>
ParameterReader::perLevel(const std::string & name, int level) const
{
  const auto found = find(name, level);
  if (!found)
  {
    return std::nullopt;
  }
  return ParameterEntry{ found->name, { entryOfLevel(found->entries, found->ofThisLevel ? 0 : level) } };
}

std::optional<ParameterEntry>
ParameterReader::list(const std::string & name, int level) const
{
  const auto found = find(name, level);
  if (!found)
  {
    return std::nullopt;
  }
  ParameterEntry entry{ found->name, {} };
  if (found->ofThisLevel)
  {
    entry.values = found->entries;
  }
  else
  {
    entry.values = split(entryOfLevel(found->entries, level), " \t");
  }
  return entry;
}

std::optional<ParameterEntry>
ParameterReader::sizes(const std::string & name, int level, std::size_t count) const
{
  const auto found = find(name, level);
  if (!found)
  {
    return std::nullopt;
  }
  ParameterEntry entry{ found->name, {} };
  const auto     isPlain = [](const std::string & text) { return text.find_first_of(" \t*") == std::string::npos; };
  const bool     plainRow = std::all_of(found->entries.begin(), found->entries.end(), isPlain);

  if (found->ofThisLevel)
  {
    for (const std::string & text : found->entries)
    {
      const std::vector<std::string> parts = split(text, " \t*");
      entry.values.insert(entry.values.end(), parts.begin(), parts.end());
    }
    return entry;
  }
  if (!plainRow)
  {
    entry.values = split(entryOfLevel(found->entries, level), " \t*");
    return entry;
  }

  // As many as one level has axes are the axes, even if there are as many levels.
  const auto        index = static_cast<std::size_t>(level);
  const std::size_t row = found->entries.size();
  if (row == count * m_NumberOfLevels)
  {
    const auto begin = found->entries.begin() + static_cast<std::ptrdiff_t>(index * count);
    entry.values.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  }
  else if (row != count && (row == m_NumberOfLevels || row == 1))
  {
    entry.values = { entryOfLevel(found->entries, level) };
  }
  else
  {
    entry.values = found->entries;
  }
  return entry;
}

} // namespace impact
