#include "impact/models/archive_check.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

namespace impact
{
namespace
{

/** CRC-32 as zip has it (ISO 3309), eight bytes at a time. */
class Crc32
{
public:
  void
  add(const unsigned char * bytes, std::size_t count)
  {
    const auto & table = tables();
    for (; count >= 8; bytes += 8, count -= 8)
    {
      std::uint64_t eight = 0;
      std::memcpy(&eight, bytes, 8); // little-endian, as x86 is
      eight ^= m_Value;
      m_Value = 0;
      for (std::size_t i = 0; i < 8; ++i)
      {
        m_Value ^= table[7 - i][(eight >> (8 * i)) & 0xFF];
      }
    }
    for (; count > 0; ++bytes, --count)
    {
      m_Value = table[0][(m_Value ^ *bytes) & 0xFF] ^ (m_Value >> 8);
    }
  }

  std::uint32_t
  value() const
  {
    return ~m_Value;
  }

private:
  using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

  static const Tables &
  tables()
  {
    static const Tables result = [] {
      Tables made{};
      for (std::uint32_t byte = 0; byte < 256; ++byte)
      {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit)
        {
          value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
        }
        made[0][byte] = value;
      }
      for (std::size_t byte = 0; byte < 256; ++byte)
      {
        for (std::size_t i = 1; i < 8; ++i)
        {
          made[i][byte] = made[0][made[i - 1][byte] & 0xFF] ^ (made[i - 1][byte] >> 8);
        }
      }
      return made;
    }();
    return result;
  }

  std::uint32_t m_Value{ 0xFFFFFFFFU };
};

/** A file of which parts are read; a part that it does not have is empty. */
class File
{
public:
  explicit File(const std::string & path)
    : m_Stream(path, std::ios::binary)
  {
    m_Stream.seekg(0, std::ios::end);
    m_Size = m_Stream ? static_cast<std::uint64_t>(m_Stream.tellg()) : 0;
  }

  std::uint64_t
  size() const
  {
    return m_Size;
  }

  std::vector<unsigned char>
  read(std::uint64_t begin, std::uint64_t count)
  {
    if (begin > m_Size || count > m_Size - begin)
    {
      return {};
    }
    std::vector<unsigned char> bytes(count);
    m_Stream.clear();
    m_Stream.seekg(static_cast<std::streamoff>(begin));
    m_Stream.read(reinterpret_cast<char *>(bytes.data()), static_cast<std::streamsize>(count));
    return m_Stream ? bytes : std::vector<unsigned char>{};
  }

private:
  std::ifstream m_Stream;
  std::uint64_t m_Size{ 0 };
};

/** A number of so many bytes, the lowest first. */
std::uint64_t
number(const std::vector<unsigned char> & bytes, std::size_t place, std::size_t count)
{
  std::uint64_t result = 0;
  for (std::size_t i = 0; i < count && place + i < bytes.size(); ++i)
  {
    result |= static_cast<std::uint64_t>(bytes[place + i]) << (8 * i);
  }
  return result;
}

/** The central directory, which lists the entries. Empty where it is not found. Offsets and signatures are those of
 * PKWARE's APPNOTE.TXT, sections 4.3.12 to 4.3.16; torch always writes the form for large files. */
std::vector<unsigned char>
centralDirectory(File & file)
{
  constexpr std::uint64_t endLength = 22;
  constexpr std::uint64_t longestComment = 0xFFFF;
  const std::uint64_t     length = std::min(file.size(), endLength + longestComment);
  const auto              tail = file.read(file.size() - length, length);
  for (std::size_t place = tail.size() < endLength ? 0 : tail.size() - endLength + 1; place-- > 0;)
  {
    if (number(tail, place, 4) != 0x06054B50)
    {
      continue;
    }
    const std::uint64_t end = file.size() - length + place;
    const auto          locator = end >= 20 ? file.read(end - 20, 20) : std::vector<unsigned char>{};
    if (number(locator, 0, 4) == 0x07064B50)
    {
      const auto large = file.read(number(locator, 8, 8), 56);
      return number(large, 0, 4) == 0x06064B50 ? file.read(number(large, 48, 8), number(large, 40, 8))
                                               : std::vector<unsigned char>{};
    }
    return file.read(number(tail, place + 16, 4), number(tail, place + 12, 4));
  }
  return {};
}

struct Entry
{
  std::string   name;
  std::uint64_t method{ 0 }; // 0: as it is
  std::uint64_t crc{ 0 };
  std::uint64_t size{ 0 };
  std::uint64_t place{ 0 };
};

std::vector<Entry>
entriesOf(const std::vector<unsigned char> & directory)
{
  std::vector<Entry> entries;
  for (std::size_t at = 0; at + 46 <= directory.size() && number(directory, at, 4) == 0x02014B50;)
  {
    const std::size_t nameLength = number(directory, at + 28, 2);
    const std::size_t extraLength = number(directory, at + 30, 2);
    const std::size_t next = at + 46 + nameLength + extraLength + number(directory, at + 32, 2);
    if (next > directory.size())
    {
      break;
    }
    Entry entry{ std::string(directory.begin() + static_cast<std::ptrdiff_t>(at + 46),
                             directory.begin() + static_cast<std::ptrdiff_t>(at + 46 + nameLength)),
                 number(directory, at + 10, 2),
                 number(directory, at + 16, 4),
                 number(directory, at + 24, 4),
                 number(directory, at + 42, 4) };
    // Numbers that do not fit into 32 bits stand in an extra field, in this order.
    const std::size_t endOfExtra = at + 46 + nameLength + extraLength;
    for (std::size_t extra = at + 46 + nameLength; extra + 4 <= endOfExtra;
         extra += 4 + number(directory, extra + 2, 2))
    {
      if (number(directory, extra, 2) != 1)
      {
        continue;
      }
      std::size_t place = extra + 4;
      if (entry.size == 0xFFFFFFFF)
      {
        entry.size = number(directory, place, 8);
        place += 8;
      }
      place += number(directory, at + 20, 4) == 0xFFFFFFFF ? 8 : 0; // the size as compressed
      if (entry.place == 0xFFFFFFFF)
      {
        entry.place = number(directory, place, 8);
      }
    }
    entries.push_back(std::move(entry));
    at = next;
  }
  return entries;
}

} // namespace

std::optional<std::string>
damageOf(const std::string & path)
{
  File file(path);
  for (const Entry & entry : entriesOf(centralDirectory(file)))
  {
    if (entry.method != 0)
    {
      continue; // torch fails to unpack or to compile it, in general
    }
    const auto header = file.read(entry.place, 30);
    if (number(header, 0, 4) != 0x04034B50)
    {
      return entry.name + " in it is not where the archive says";
    }
    const std::uint64_t begin = entry.place + 30 + number(header, 26, 2) + number(header, 28, 2);
    if (begin > file.size() || entry.size > file.size() - begin)
    {
      return entry.name + " in it is cut off";
    }
    Crc32                   crc;
    constexpr std::uint64_t atOnce = 1 << 20;
    for (std::uint64_t done = 0; done < entry.size; done += atOnce)
    {
      const auto bytes = file.read(begin + done, std::min(atOnce, entry.size - done));
      if (bytes.empty())
      {
        return entry.name + " in it cannot be read";
      }
      crc.add(bytes.data(), bytes.size());
    }
    if (crc.value() != entry.crc)
    {
      return entry.name + " in it has changed: its checksum is another than the archive says";
    }
  }
  return std::nullopt;
}

} // namespace impact
