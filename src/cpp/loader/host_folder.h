#pragma once

#include "host.h"
#include "known_hosts.h"

#include <cstddef>
#include <filesystem>

namespace impact
{

/** Where the plugin proper for a host lies, and how many virtual tables were compared to find that it fits. */
struct HostFolder
{
  std::filesystem::path path;
  std::size_t           tables;
};

/** The folder of what was built for a host, after its classes were compared with those in the folder's list. Fails
 * where the wheel has nothing for that host, or where its classes are others; then it says which they are, if that is
 * known.
 *
 * \param package the folder impact_plugin
 * \param version of itk-elastix, as its metadata have it
 * \param known the one of that version */
HostFolder hostFolder(const Host &                  host,
                      const std::filesystem::path & package,
                      const std::string &           version,
                      const KnownHost &             known);

/** Fails where the process's C++ library is older than the compiler that the plugin was built with. */
void checkCppLibrary(const Host & host, const std::filesystem::path & description);

} // namespace impact
