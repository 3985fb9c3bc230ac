#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace impact
{

/** The whole text as a number, or nothing. Whole ones may have a point and zeros behind them, as for elastix. */
template <typename T>
std::optional<T>
toNumber(const std::string & text)
{
  T            value{};
  const char * end = text.data() + text.size();
  if constexpr (std::is_integral_v<T>)
  {
    const auto point = text.find('.');
    if (point != std::string::npos && text.find_first_not_of('0', point + 1) == std::string::npos)
    {
      end = text.data() + point;
    }
  }
  const auto result = std::from_chars(text.data(), end, value);
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
