#include "host.h"

#include <dlfcn.h>
#include <link.h>

#include <stdexcept>

namespace impact
{

Host::Host(const void * caller)
  : path(libraryOf(caller))
  , handle(nullptr)
{
  Dl_info    info{};
  link_map * map = nullptr;
  if (dladdr1(caller, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) != 0 && map)
  {
    // The program itself has no name in the linker's list.
    handle = dlopen(*map->l_name ? map->l_name : nullptr, RTLD_NOW | RTLD_NOLOAD);
  }
}


Host::Host(const char * library)
  : path(std::filesystem::absolute(library).lexically_normal())
  , handle(dlopen(library, RTLD_LAZY))
{
  if (!handle)
  {
    const char * const reason = dlerror();
    fail(*this, "opening " + path.string() + " failed: " + (reason ? reason : "no reason given"));
  }
}


void
fail(const Host & host, const std::string & reason)
{
  const std::string message = "Metric \"Impact\" cannot be loaded: " + reason;
  using LogError = void (*)(const std::string &);
  if (const auto logError = reinterpret_cast<LogError>(
        host.handle ? dlsym(host.handle, "_ZN7elastix3log5errorERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE")
                    : nullptr))
  {
    logError(message);
  }
  throw std::runtime_error(message);
}


std::filesystem::path
libraryOf(const void * address)
{
  Dl_info info{};
  return dladdr(address, &info) != 0 && info.dli_fname ? std::filesystem::absolute(info.dli_fname).lexically_normal()
                                                       : std::filesystem::path();
}

} // namespace impact
