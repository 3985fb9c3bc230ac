#pragma once

#include <filesystem>
#include <string>

namespace impact
{

/** The elastix that asks for the metric: the library, or the program, that has called us, or a library to look at. */
struct Host
{
  std::filesystem::path path;
  void *                handle; // as dlopen gives it

  /** \param caller an address in its code */
  explicit Host(const void * caller);

  /** \param library that may be loaded already, or not */
  explicit Host(const char * library);
};

/** Ends the loading: elastix's log says the reason, and so does the std::runtime_error that is thrown. */
[[noreturn]] void fail(const Host & host, const std::string & reason);

/** The file of the library that holds an address. */
std::filesystem::path libraryOf(const void * address);

} // namespace impact
