// libImpactMetric.so: what elastix opens when a parameter map says (Metric "Impact").
//
// It depends on nothing but the C++ runtime, so that it can always be opened. It compares what it finds with what the
// plugin was built for, before anything of that is called: the versions of itk-elastix, ITK and torch, the C++ library,
// and the classes of elastix and ITK themselves. Only then it opens the plugin proper, which there is once for each
// elastix whose classes are laid out differently. Whatever is wrong goes into elastix's log and, as a
// std::runtime_error, to the calling program.
//
// With IMPACT_STANDALONE it lies beside the plugin proper, and the elastix is an executable built from the same tree.

#include "host.h"
#include "host_classes.h"
#include "host_folder.h"
#include "known_hosts.h"
#include "versions.h"

#include <dlfcn.h>

#include <exception>
#include <string>
#include <vector>

extern "C" __attribute__((visibility("default"))) int ImpactMetricInstallComponent(void * database);

namespace
{

namespace fs = std::filesystem;

/** The folder of the plugin proper and of what is known about the host's classes. */
fs::path
pluginFolder()
{
  const fs::path own = impact::libraryOf(reinterpret_cast<void *>(&ImpactMetricInstallComponent)).parent_path();
#ifdef IMPACT_STANDALONE
  return own;
#else
  return own.parent_path() / "impact_plugin";
#endif
}

/** What was found to fit. */
struct Fitting
{
  std::string torch;   // its minor version
  fs::path    folder;  // of what was built for the elastix
  std::size_t tables;  // virtual tables compared
  std::string version; // of itk-elastix
};

/** Compares everything; fails where something does not fit. */
Fitting
check(const impact::Host & host)
{
#ifdef IMPACT_STANDALONE
  const std::string torch = impact::checkTorch(host, IMPACT_PACKAGES, { IMPACT_TORCH_SERIES });
  const fs::path    description = pluginFolder() / "host_classes.txt";
  impact::checkCppLibrary(host, description);
  const auto [tables, differences] = impact::compareClasses(host, description);
  if (!differences.empty())
  {
    impact::fail(host,
                 host.path.string() +
                   " is not the elastix this plugin was built for (elastix " IMPACT_ELASTIX_VERSION "): " +
                   differences + ". " + impact::reinstall);
  }
  return { torch, pluginFolder(), tables, IMPACT_ITK_ELASTIX_VERSION };
#else
  const std::vector<std::string> torches = impact::torchesOf(pluginFolder());
  const std::string              version = impact::checkItkElastix(host, torches);
  const std::string              torch = impact::checkTorch(host, pluginFolder().parent_path(), torches);
  const auto [folder, tables] = impact::hostFolder(host, pluginFolder(), version, *impact::knownHost(version));
  return { torch, folder, tables, version };
#endif
}

/** Opens one of our libraries, for good. */
void *
open(const impact::Host & host, const fs::path & library)
{
  void * const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
  {
    const char * const reason = dlerror();
    impact::fail(host,
                 "opening " + library.string() + " failed: " + (reason ? reason : "no reason given") + ". " +
                   impact::reinstall);
  }
  return handle;
}

/** Opens the plugin proper. */
void *
openPlugin(const impact::Host & host, const Fitting & fitting)
{
#ifndef IMPACT_STANDALONE
  // By these names the plugin finds what it links, whichever folder it comes from.
  open(host, pluginFolder() / "libimpact_base.so");
  open(host, pluginFolder() / ("torch-" + fitting.torch) / "libimpact_core.so");
#endif
  const fs::path plugin = fitting.folder / "libimpact_elastix.so";
  void * const   handle = open(host, plugin);
#ifndef IMPACT_STANDALONE
  using Folder = const char * (*)();
  const auto        builtFor = reinterpret_cast<Folder>(dlsym(handle, "ImpactMetricHostFolder"));
  const std::string name = builtFor ? builtFor() : "an unknown one";
  if (name != fitting.folder.filename())
  {
    impact::fail(host,
                 plugin.string() + " was built for another elastix, that of " + name +
                   ": files of two are mixed, as an interrupted upgrade leaves them. " + impact::reinstall);
  }
#endif
  return handle;
}

} // namespace

extern "C" __attribute__((visibility("default"))) int
ImpactMetricInstallComponent(void * database)
{
  const impact::Host host(__builtin_return_address(0));
  const Fitting      fitting = check(host);
  void * const       handle = openPlugin(host, fitting);
  using Install = int (*)(void *);
  const auto install = reinterpret_cast<Install>(dlsym(handle, "ImpactMetricInstallComponent"));
  if (!install)
  {
    impact::fail(host,
                 (fitting.folder / "libimpact_elastix.so").string() + " has no ImpactMetricInstallComponent. " +
                   impact::reinstall);
  }
  return install(database);
}

/** What the above would find in an elastix that does not ask for the metric, in words: for `impact-plugin doctor`.
 * \param library the path of its library
 * \param fits set to 1 where it fits, else to 0 */
extern "C" __attribute__((visibility("default"))) const char *
ImpactMetricExamine(const char * library, int * fits)
{
  static thread_local std::string found;
  try
  {
    const auto [torch, folder, tables, version] = check(impact::Host(library));
    found = "versions fit, " + std::to_string(tables) + " virtual tables are as built for (" +
            folder.filename().string() + " for itk-elastix " + version + ", torch " + torch + ")";
    *fits = 1;
  }
  catch (const std::exception & error)
  {
    found = error.what();
    *fits = 0;
  }
  return found.c_str();
}
