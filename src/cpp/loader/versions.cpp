#include "versions.h"

#include "known_hosts.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <vector>

namespace impact
{
namespace
{

namespace fs = std::filesystem;

/** The path of the first loaded library whose file name begins like this; empty if there is none. */
fs::path
loadedLibrary(const std::string & beginning)
{
  struct Search
  {
    const std::string & beginning;
    fs::path            found;
  } search{ beginning, {} };
  dl_iterate_phdr(
    [](dl_phdr_info * info, std::size_t, void * data) {
      auto &         wanted = *static_cast<Search *>(data);
      const fs::path path(info->dlpi_name);
      if (path.filename().string().rfind(wanted.beginning, 0) == 0)
      {
        wanted.found = path;
        return 1;
      }
      return 0;
    },
    &search);
  return search.found;
}

/** The versions of a distribution in a site-packages folder, from the names of its .dist-info: one, unless an upgrade
 * was interrupted. */
std::vector<std::string>
distributionVersions(const fs::path & site, const std::string & name)
{
  std::vector<std::string> versions;
  std::error_code          error;
  for (const auto & entry : fs::directory_iterator(site, error))
  {
    const std::string file = entry.path().filename().string();
    const std::string ending = ".dist-info";
    if (file.rfind(name + "-", 0) == 0 && file.size() > ending.size() &&
        file.compare(file.size() - ending.size(), ending.size(), ending) == 0)
    {
      versions.push_back(file.substr(name.size() + 1, file.size() - name.size() - 1 - ending.size()));
    }
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

/** The version that a torch package states in its version.py; empty if unknown. */
std::string
torchVersion(const fs::path & package)
{
  std::ifstream file(package / "version.py");
  for (std::string line; std::getline(file, line);)
  {
    const auto begin = line.find('\'');
    if (line.rfind("__version__", 0) == 0 && begin != std::string::npos)
    {
      return line.substr(begin + 1, line.find('\'', begin + 1) - begin - 1);
    }
  }
  return {};
}

/** Whether a library was compiled with _GLIBCXX_USE_CXX11_ABI=0: its strings are others then, and so are the names of
 * the functions that take them. Read from the file, which need not be loaded. */
bool
hasOldStrings(const fs::path & library, std::string_view oldName, std::string_view newName)
{
  std::ifstream     file(library, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return bytes.find(oldName) != std::string::npos && bytes.find(newName) == std::string::npos;
}

/** The numbers of a version: 2.13 comes after 2.9. */
std::vector<int>
numbersOf(const std::string & version)
{
  std::vector<int>   numbers;
  std::istringstream stream(version);
  for (std::string part; std::getline(stream, part, '.');)
  {
    numbers.push_back(std::atoi(part.c_str()));
  }
  return numbers;
}

/** Minor versions of torch as pip takes them: a range where there are several, without those that are not among them.
 */
std::string
requirement(const std::vector<std::string> & torches)
{
  if (torches.size() < 2)
  {
    return torches.empty() ? "torch" : "torch==" + torches.front() + ".*";
  }
  const std::vector<int> last = numbersOf(torches.back());
  std::string            missing;
  for (std::size_t i = 1; i < torches.size(); ++i)
  {
    const std::vector<int> here = numbersOf(torches[i]);
    for (int minor = numbersOf(torches[i - 1])[1] + 1; minor < here[1]; ++minor)
    {
      missing += ",!=" + std::to_string(here[0]) + "." + std::to_string(minor) + ".*";
    }
  }
  return "torch>=" + torches.front() + ",<" + std::to_string(last[0]) + "." + std::to_string(last[1] + 1) + missing;
}

std::string
orUnknown(const std::string & version)
{
  return version.empty() ? "of unknown version" : version;
}

} // namespace


std::vector<std::string>
torchesOf(const fs::path & plugin)
{
  const std::string        beginning = "torch-";
  std::vector<std::string> found;
  std::error_code          error;
  for (const auto & entry : fs::directory_iterator(plugin, error))
  {
    if (const std::string name = entry.path().filename().string(); name.rfind(beginning, 0) == 0)
    {
      found.push_back(name.substr(beginning.size()));
    }
  }
  std::sort(found.begin(), found.end(), [](const std::string & a, const std::string & b) {
    return numbersOf(a) < numbersOf(b);
  });
  return found;
}


std::string
neededVersions(const std::vector<std::string> & torches)
{
  const std::string torch = requirement(torches);
  return "Needed: " + torch + " and itk-elastix" IMPACT_ITK_ELASTIX_RANGE ". Run: python -m pip install \"" + torch +
         "\" \"itk-elastix" IMPACT_ITK_ELASTIX_RANGE "\"";
}


std::string
checkItkElastix(const Host & host, const std::vector<std::string> & torches)
{
  std::string all;
  for (const KnownHost & known : knownHosts())
  {
    all += (all.empty() ? "" : " or ") + versionsOf(known);
  }
  if (host.path.filename().string().rfind("_ElastixPython", 0) != 0)
  {
    fail(host,
         "the elastix in " + host.path.string() + " is not one this plugin was built for (that of itk-elastix " + all +
           "). Use that one, or build the plugin for yours: cmake/build_elastix.py, which docs/build.md explains.");
  }
  const fs::path                 site = host.path.parent_path().parent_path();
  const std::vector<std::string> versions = distributionVersions(site, "itk_elastix");
  if (versions.size() > 1)
  {
    std::string several;
    for (const std::string & each : versions)
    {
      several += (several.empty() ? "" : " and ") + each;
    }
    fail(host,
         site.string() + " has the metadata of itk-elastix " + several +
           ": files of two versions are mixed, as an interrupted upgrade leaves them. Run: python -m pip uninstall "
           "itk-elastix, once for each of them, then: python -m pip install "
           "\"itk-elastix" IMPACT_ITK_ELASTIX_RANGE "\"");
  }
  const std::string version = versions.empty() ? "" : versions.front();
  if (knownHost(version) == nullptr)
  {
    fail(host,
         "itk-elastix " + orUnknown(version) + " in " + site.string() +
           " is not a version this plugin can be built for (" + all + "). " +
           (isNewerThanKnown(version)
              ? "Run: python -m pip install \"itk-elastix==" + knownHosts().back().versions.back() + "\""
              : neededVersions(torches)));
  }
  // elastix has ITK inside; the images come from ITK's own wheel.
  for (const std::string & itk : distributionVersions(site, "itk_core"))
  {
    if (!isOfSeries(itk, "5.4"))
    {
      fail(host,
           "ITK " + itk + " in " + site.string() +
             " is not the version this plugin was built for (ITK 5.4). Run: python -m pip install \"itk==5.4.*\"");
    }
  }
  if (!dlsym(host.handle, "_ZN7elastix3log5errorERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE") &&
      dlsym(host.handle, "_ZN7elastix3log5errorERKSs"))
  {
    fail(host,
         host.path.string() +
           " was compiled with _GLIBCXX_USE_CXX11_ABI=0 and this plugin with 1: strings of the one "
           "are none of the other. " +
           neededVersions(torches));
  }
  return version;
}


std::string
checkTorch(const Host & host, const fs::path & site, const std::vector<std::string> & built)
{
  fs::path library = loadedLibrary("libtorch_cpu");
  if (library.empty())
  {
    library = site / "torch" / "lib" / "libtorch_cpu.so";
    if (!fs::exists(library))
    {
      fail(host, "torch is not installed in " + site.string() + ". " + neededVersions(built));
    }
  }
  const fs::path    package = library.lexically_normal().parent_path().parent_path();
  const std::string version = torchVersion(package);
  const auto        series =
    std::find_if(built.begin(), built.end(), [&](const std::string & one) { return isOfSeries(version, one); });
  if (series == built.end())
  {
    std::string all;
    for (const std::string & one : built)
    {
      all += (all.empty() ? "" : ", ") + one;
    }
    fail(host,
         "torch " + orUnknown(version) + " in " + package.string() + " is not a version this plugin was built for (" +
           (all.empty() ? "none: its folders torch-* are missing" : all) + "). " + neededVersions(built));
  }
  if (hasOldStrings(package / "lib" / "libc10.so",
                    "_ZN3c105ErrorC1ENS_14SourceLocationESs",
                    "_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_string"))
  {
    fail(host,
         "torch " + version + " in " + package.string() +
           " was compiled with _GLIBCXX_USE_CXX11_ABI=0 and this plugin with 1: strings of the one are none of the "
           "other. " +
           neededVersions(built));
  }
  return *series;
}

} // namespace impact
