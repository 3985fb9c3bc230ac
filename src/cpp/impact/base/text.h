#pragma once

#include <string>

namespace impact
{

/** Text of somebody else (a model's author, a damaged file) as UTF-8: Python raises another error where a message is
 * none. Bytes that are none become question marks; control characters other than line ends become spaces. */
std::string asUtf8(const std::string & text);

/** The first line of a text with something in it, cut where it is long. */
std::string firstLineOf(const std::string & text);

} // namespace impact
