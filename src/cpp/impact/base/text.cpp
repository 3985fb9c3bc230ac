#include "impact/base/text.h"

#include <cstddef>

namespace impact
{
namespace
{

/** Bytes of the UTF-8 sequence that begins here; 0 where none does. */
std::size_t
sequenceAt(const std::string & text, std::size_t place)
{
  const auto        first = static_cast<unsigned char>(text[place]);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || place + length > text.size())
  {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i)
  {
    if ((static_cast<unsigned char>(text[place + i]) & 0xC0) != 0x80)
    {
      return 0;
    }
  }
  // Sequences that are longer than they need be, halves of pairs, and what lies beyond Unicode.
  const auto second = length > 1 ? static_cast<unsigned char>(text[place + 1]) : 0x80;
  const bool isWrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                       (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return isWrong ? 0 : length;
}

} // namespace

std::string
asUtf8(const std::string & text)
{
  std::string result;
  for (std::size_t place = 0; place < text.size();)
  {
    const std::size_t length = sequenceAt(text, place);
    if (length == 1)
    {
      const auto character = static_cast<unsigned char>(text[place]);
      result += (character < 0x20 && character != '\n') || character == 0x7F ? ' ' : text[place];
    }
    else
    {
      result += length == 0 ? "?" : text.substr(place, length);
    }
    place += length == 0 ? 1 : length;
  }
  return result;
}

std::string
firstLineOf(const std::string & text)
{
  constexpr std::size_t most = 400;
  const auto            begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos)
  {
    return {};
  }
  std::string line = text.substr(begin, text.find('\n', begin) - begin);
  line.erase(line.find_last_not_of(" \t\r") + 1);
  return line.size() <= most ? line : line.substr(0, most) + " ...";
}

} // namespace impact
