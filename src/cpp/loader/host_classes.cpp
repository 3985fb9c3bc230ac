#include "host_classes.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <vector>

namespace impact
{
namespace
{

constexpr std::size_t shown = 3; // differences that a message names

/** The name of a virtual table's class as C++ writes it. */
std::string
className(const std::string & table)
{
  int                                               status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(table.c_str(), nullptr, nullptr, &status),
                                                         std::free);
  const std::string                                 name = status == 0 ? text.get() : table;
  const std::string                                 beginning = "vtable for ";
  return name.rfind(beginning, 0) == 0 ? name.substr(beginning.size()) : name;
}

/** The size of a symbol in bytes; 0 where the host does not have it. */
std::size_t
sizeIn(const Host & host, const std::string & symbol)
{
  const void * const address = dlsym(host.handle, symbol.c_str());
  Dl_info            info{};
  const ElfW(Sym) * entry = nullptr;
  if (!address ||
      dladdr1(address, &info, const_cast<void **>(reinterpret_cast<const void **>(&entry)), RTLD_DL_SYMENT) == 0 ||
      !entry)
  {
    return 0;
  }
  return entry->st_size;
}

/** A library defines a symbol for each version of itself that it serves: GLIBCXX_3.4.30. */
bool
hasVersion(const std::string & library, const std::string & version)
{
  void * const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (!handle)
  {
    return false;
  }
  dlerror();
  dlsym(handle, version.c_str()); // whose value is a null pointer
  return dlerror() == nullptr;
}

std::string
difference(const Host & host, const std::string & table, std::size_t expected)
{
  const std::size_t found = sizeIn(host, table);
  if (found == 0)
  {
    return "it has no class " + className(table);
  }
  return found == expected ? std::string()
                           : "the virtual table of " + className(table) + " has " + std::to_string(found) +
                               " bytes, and not " + std::to_string(expected);
}

} // namespace


std::string
missingVersion(const std::filesystem::path & file)
{
  std::ifstream stream(file);
  for (std::string kind, library, version; stream >> kind;)
  {
    if (kind == "needs" && stream >> library >> version && !hasVersion(library, version))
    {
      return version + " in " + library;
    }
    std::getline(stream, kind);
  }
  return {};
}


Comparison
compareClasses(const Host & host, const std::filesystem::path & file)
{
  Comparison               result;
  std::vector<std::string> found;
  std::ifstream            stream(file);
  std::size_t              size = 0;
  for (std::string kind, table; stream >> kind;)
  {
    if (kind == "class" && stream >> table >> size)
    {
      ++result.tables;
      if (std::string text = difference(host, table, size); !text.empty())
      {
        found.push_back(std::move(text));
      }
    }
    std::getline(stream, kind);
  }
  if (result.tables == 0)
  {
    result.differences = file.string() + " is missing or empty";
  }
  for (std::size_t n = 0; n < std::min(found.size(), shown); ++n)
  {
    result.differences += (n == 0 ? "" : "; ") + found[n];
  }
  if (found.size() > shown)
  {
    result.differences += "; and " + std::to_string(found.size() - shown) + " more";
  }
  return result;
}

} // namespace impact
