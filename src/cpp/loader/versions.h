#pragma once

#include "host.h"

#include <filesystem>
#include <string>
#include <vector>

namespace impact
{

#ifdef IMPACT_STANDALONE
constexpr const char * reinstall = "Build elastix and the plugin again: cmake/build_elastix.py";
#else
constexpr const char * reinstall = "Reinstall with: python -m pip install --force-reinstall --no-deps impact-plugin";
#endif

/** Compares the itk-elastix and ITK of the host's wheel with those that the plugin can be built for. Fails where they
 * do not fit.
 * \param torches the minor versions of torch that fit
 * \return the version of itk-elastix, one that knownHost() has */
std::string checkItkElastix(const Host & host, const std::vector<std::string> & torches);

/** The minor versions of torch, 2.13, that a plugin was built for, in order: it has a folder torch-2.13 for each. */
std::vector<std::string> torchesOf(const std::filesystem::path & plugin);

/** Likewise torch: the one in this process, else the one in a folder of packages.
 *
 * \param built the minor versions that would fit
 * \return the one found */
std::string checkTorch(const Host & host, const std::filesystem::path & site, const std::vector<std::string> & built);

/** What the plugin needs, and the command that installs it: the end of each refusal.
 * \param torches the minor versions of torch that fit */
std::string neededVersions(const std::vector<std::string> & torches);

} // namespace impact
