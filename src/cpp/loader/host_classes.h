#pragma once

#include "host.h"

#include <cstddef>
#include <filesystem>
#include <string>

namespace impact
{

struct Comparison
{
  std::size_t tables = 0;  // compared
  std::string differences; // in words; empty where all is as expected
};

/** Compares the classes of the host with what the plugin was compiled to expect.
 *
 * Both sides call virtual functions of objects that the other has made, by their place in the table of the object's
 * class. One function more or less in a table, and another function is called, with whatever arguments. No version
 * number tells of that: it changes with the options of a build, too. So the tables' sizes are read from the host's
 * symbols, where the linker has them, and nothing of the host is called.
 *
 * \param file what cmake/describe_host.py wrote when the plugin was built */
Comparison compareClasses(const Host & host, const std::filesystem::path & file);

/** The first version of the C++ library that the plugin's compiler relied on and this process lacks; empty if none. */
std::string missingVersion(const std::filesystem::path & file);

} // namespace impact
