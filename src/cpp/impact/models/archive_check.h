#pragma once

#include <optional>
#include <string>

namespace impact
{

/** What is damaged in a zip archive, such as a TorchScript file: torch itself, as it is built, reads changed weights
 * without a word. The checksums of the entries that are stored as they are, which weights are, are compared with their
 * content. \return a part of a sentence; nothing where all is well, or where it is no archive that can be read at all,
 * which whoever opens it says */
std::optional<std::string> damageOf(const std::string & path);

} // namespace impact
