#pragma once

#include "host.h"

#include <filesystem>
#include <string>

namespace impact
{

/** Compares the itk-elastix and ITK of the host's wheel with those the plugin was built for. Fails where they do not
 * fit.
 */
void checkItkElastix(const Host & host);

/** Likewise torch: the one in this process, else the one in a folder of packages. */
void checkTorch(const Host & host, const std::filesystem::path & site);

/** What the plugin needs, and the command that installs it: the end of each refusal. */
std::string neededVersions();

} // namespace impact
