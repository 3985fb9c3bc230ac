#include "impact/settings/parameter_reader.h"

#include <algorithm>
#include <array>
#include <string_view>

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

bool
endsLikeModelFile(const std::string & path)
{
  constexpr std::array<std::string_view, 4> endings{ ".pt", ".pth", ".ts", ".jit" };
  return std::any_of(endings.begin(), endings.end(), [&path](std::string_view ending) {
    return path.size() > ending.size() && path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
  });
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
    const auto found = m_Map.find(candidate);
    if (found == m_Map.end() || found->second.empty())
    {
      return std::nullopt;
    }
    return Found{ found->first, found->second, ofThisLevel };
  };
  for (const std::string & label : labels)
  {
    for (const int l : { level, 0 })
    {
      if (auto found = lookUp(label + "Impact" + name + std::to_string(l), true))
      {
        return found;
      }
    }
    for (const char * const prefix : { "Impact", "" })
    {
      if (auto found = lookUp(label + prefix + name, false))
      {
        return found;
      }
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
  if (found->ofThisLevel)
  {
    return ParameterEntry{ found->name, found->entries };
  }
  return ParameterEntry{ found->name, { entryOfLevel(found->entries, level) }, found->entries.size() };
}

std::optional<ParameterEntry>
ParameterReader::list(const std::string & name, int level) const
{
  const auto found = find(name, level);
  if (!found)
  {
    return std::nullopt;
  }
  if (found->ofThisLevel)
  {
    return ParameterEntry{ found->name, found->entries };
  }
  return ParameterEntry{ found->name, split(entryOfLevel(found->entries, level), " \t"), found->entries.size() };
}

std::optional<ParameterEntry>
ParameterReader::paths(const std::string & name, int level) const
{
  const auto found = find(name, level);
  if (!found || found->ofThisLevel)
  {
    return list(name, level);
  }
  const std::string & entry = entryOfLevel(found->entries, level);
  ParameterEntry      result{ found->name, {}, found->entries.size() };
  std::string         path; // what stands before the next space and is not yet a path
  for (std::size_t begin = entry.find_first_not_of(" \t"); begin != std::string::npos;)
  {
    const std::size_t end = std::min(entry.find_first_of(" \t", begin), entry.size());
    const std::size_t next = entry.find_first_not_of(" \t", end);
    path += entry.substr(begin, end - begin);
    if (endsLikeModelFile(path) || next == std::string::npos)
    {
      result.values.push_back(path);
      path.clear();
    }
    else
    {
      path += entry.substr(end, next - end);
    }
    begin = next;
  }
  // Names without a known ending are separate words.
  if (!result.values.empty() && !endsLikeModelFile(result.values.back()))
  {
    const std::vector<std::string> words = split(result.values.back(), " \t");
    result.values.pop_back();
    result.values.insert(result.values.end(), words.begin(), words.end());
  }
  return result;
}

std::optional<ParameterEntry>
ParameterReader::sizes(const std::string & name, int level, std::size_t count) const
{
  const auto found = find(name, level);
  if (!found)
  {
    return std::nullopt;
  }
  ParameterEntry entry{ found->name, {}, found->ofThisLevel ? 1 : found->entries.size() };
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
  if (row != count && row % count == 0 && row / count >= m_NumberOfLevels)
  {
    entry.levels = row / count;
    const auto begin = found->entries.begin() + static_cast<std::ptrdiff_t>(index * count);
    entry.values.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  }
  else if (row != count && (row == m_NumberOfLevels || row == 1))
  {
    entry.values = { entryOfLevel(found->entries, level) };
  }
  else
  {
    entry.levels = 1;
    entry.values = found->entries;
  }
  return entry;
}

} // namespace impact
