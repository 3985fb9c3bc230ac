#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

/** The whole text as a number, or nothing. */
template <typename T>
std::optional<T>
toNumber(const std::string & text)
{
  T            value{};
  const char * end = text.data() + text.size();
  const auto   result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc{} || result.ptr != end)
  {
    return std::nullopt;
  }
  return value;
}

inline std::optional<bool>
toBool(const std::string & text)
{
  if (text == "true")
  {
    return true;
  }
  if (text == "false")
  {
    return false;
  }
  return std::nullopt;
}

/** The values side by side, each in quotes. */
inline std::string
quoted(const std::vector<std::string> & values)
{
  std::string text;
  for (const std::string & value : values)
  {
    text += (text.empty() ? "\"" : " \"") + value + "\"";
  }
  return text.empty() ? "\"\"" : text;
}

} // namespace impact
