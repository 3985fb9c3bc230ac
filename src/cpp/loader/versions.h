#pragma once

#include "host.h"

#include <filesystem>
#include <string>

namespace impact
{

#ifdef IMPACT_STANDALONE
constexpr const char * reinstall = "Build elastix and the plugin again: cmake/build_elastix.py";
#else
constexpr const char * reinstall = "Reinstall with: python -m pip install --force-reinstall --no-deps impact-plugin";
#endif

/** Compares the itk-elastix and ITK of the host's wheel with those that the plugin can be built for. Fails where they
 * do not fit.
 * \return the version of itk-elastix, one that knownHost() has */
std::string checkItkElastix(const Host & host);

/** Likewise torch: the one in this process, else the one in a folder of packages. */
void checkTorch(const Host & host, const std::filesystem::path & site);

/** What the plugin needs, and the command that installs it: the end of each refusal. */
std::string neededVersions();

} // namespace impact
