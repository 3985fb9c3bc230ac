#include "host_folder.h"

#include "host_classes.h"
#include "versions.h"

namespace impact
{
namespace
{

namespace fs = std::filesystem;

constexpr const char * list = "host_classes.txt";

/** What a wheel was built for, in words: "elastix-0.25.2 (for itk-elastix 0.25.2 or 0.25.3)"; empty for nothing. */
std::string
builtHosts(const fs::path & package)
{
  std::string text;
  for (const KnownHost & host : knownHosts())
  {
    if (fs::exists(package / host.folder / list))
    {
      text += (text.empty() ? "" : ", ") + host.folder + " (for itk-elastix " + versionsOf(host) + ")";
    }
  }
  return text;
}

[[noreturn]] void
failWithoutFolder(const Host & host, const fs::path & package, const std::string & version, const KnownHost & known)
{
  const std::string built = builtHosts(package);
  if (built.empty())
  {
    fail(host,
         "there is no " + known.folder + "/" + list + " in " + package.string() +
           ", and no other elastix is there that the plugin was built for: files of it are missing. " + reinstall);
  }
  std::string others;
  for (const KnownHost & each : knownHosts())
  {
    if (fs::exists(package / each.folder / list))
    {
      others = "\"itk-elastix==" + each.versions.back() + "\"";
    }
  }
  fail(host,
       "itk-elastix " + version + " fits, but the plugin in " + package.string() +
         " was built without it. It has: " + built + ". Run: python -m pip install " + others +
         ", or build the plugin for the one installed: python -m pip install --force-reinstall --no-deps "
         "--no-binary impact-plugin impact-plugin");
}

/** Every folder with what its list says of the host, for a host whose classes are not those its version has. */
[[noreturn]] void
failWithOthers(const Host &        host,
               const fs::path &    package,
               const std::string & version,
               const KnownHost &   known,
               const std::string & differences)
{
  std::string causes = known.folder + ": " + differences;
  for (const KnownHost & other : knownHosts())
  {
    const fs::path file = package / other.folder / list;
    if (&other == &known || !fs::exists(file))
    {
      continue;
    }
    const std::string found = compareClasses(host, file).differences;
    if (found.empty())
    {
      fail(host,
           host.path.string() + " has the classes of itk-elastix " + versionsOf(other) + ", but its metadata say " +
             version + " (" + causes +
             "): files of two versions are mixed, as an interrupted upgrade leaves them. Run: python -m pip install "
             "--force-reinstall --no-deps \"itk-elastix==" +
             version + "\"");
    }
    causes += ". " + other.folder + ": " + found;
  }
  fail(host,
       host.path.string() + " is not the elastix of itk-elastix " + version + " that this plugin was built for. " +
         causes +
         ". Files of other versions may be mixed with it, or with the plugin. Run: python -m pip install "
         "--force-reinstall --no-deps impact-plugin \"itk-elastix==" +
         version + "\"");
}

} // namespace


void
checkCppLibrary(const Host & host, const fs::path & description)
{
  if (const std::string missing = missingVersion(description); !missing.empty())
  {
    fail(host,
         "this process has loaded a C++ library older than the compiler of this plugin: it lacks " + missing +
           ". Install a newer one (conda install -c conda-forge libstdcxx-ng), or build the plugin here: "
           "python -m pip install --no-binary impact-plugin --force-reinstall --no-deps impact-plugin");
  }
}


HostFolder
hostFolder(const Host & host, const fs::path & package, const std::string & version, const KnownHost & known)
{
  const fs::path file = package / known.folder / list;
  if (!fs::exists(file))
  {
    failWithoutFolder(host, package, version, known);
  }
  checkCppLibrary(host, file);
  const auto [tables, differences] = compareClasses(host, file);
  if (!differences.empty())
  {
    failWithOthers(host, package, version, known, differences);
  }
  return { file.parent_path(), tables };
}

} // namespace impact
