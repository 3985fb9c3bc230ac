// libImpactMetric.so: what elastix opens when a parameter map says (Metric "Impact").
//
// It depends on nothing but the C++ runtime, so that it can always be opened. It compares the versions of torch and
// itk-elastix that it finds with those the plugin was built for, before anything of theirs is called, and only then
// opens the plugin proper. Whatever is wrong goes into elastix's log and, as a std::runtime_error, to the calling
// program.

#include <dlfcn.h>
#include <link.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

namespace fs = std::filesystem;

constexpr const char * requirements = "torch==" IMPACT_TORCH_SERIES ".* and itk-elastix>=0.25.2,<0.25.4";
constexpr const char * remedy =
  "python -m pip install \"torch==" IMPACT_TORCH_SERIES ".*\" \"itk-elastix>=0.25.2,<0.25.4\"";

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

fs::path
ownPath()
{
  Dl_info info{};
  dladdr(reinterpret_cast<void *>(&ownPath), &info);
  return fs::absolute(info.dli_fname);
}

/** The version of a distribution in a site-packages folder, from the name of its .dist-info; empty if unknown. */
std::string
distributionVersion(const fs::path & site, const std::string & name)
{
  std::error_code error;
  for (const auto & entry : fs::directory_iterator(site, error))
  {
    const std::string file = entry.path().filename().string();
    const std::string ending = ".dist-info";
    if (file.rfind(name + "-", 0) == 0 && file.size() > ending.size() &&
        file.compare(file.size() - ending.size(), ending.size(), ending) == 0)
    {
      return file.substr(name.size() + 1, file.size() - name.size() - 1 - ending.size());
    }
  }
  return {};
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

bool
isOfSeries(const std::string & version, const std::string & series)
{
  return version == series || version.rfind(series + ".", 0) == 0;
}

bool
isSupportedItkElastix(const std::string & version)
{
  return isOfSeries(version, "0.25.2") || isOfSeries(version, "0.25.3");
}

/** Says it in elastix's log too, where this process has one. */
[[noreturn]] void
fail(const std::string & reason)
{
  const std::string message = "Metric \"Impact\" cannot be loaded: " + reason;
  if (const fs::path host = loadedLibrary("_ElastixPython"); !host.empty())
  {
    using LogError = void (*)(const std::string &);
    void * const handle = dlopen(host.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (const auto logError = reinterpret_cast<LogError>(
          handle ? dlsym(handle, "_ZN7elastix3log5errorERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE")
                 : nullptr))
    {
      logError(message);
    }
  }
  throw std::runtime_error(message);
}

void
checkItkElastix()
{
  const fs::path host = loadedLibrary("_ElastixPython");
  if (host.empty())
  {
    return; // another build of elastix: the linker will say whether it fits
  }
  const fs::path    site = host.parent_path().parent_path();
  const std::string version = distributionVersion(site, "itk_elastix");
  if (!isSupportedItkElastix(version))
  {
    fail("itk-elastix " + (version.empty() ? "of unknown version" : version) + " in " + site.string() +
         " is not the version this plugin was built for (" IMPACT_ITK_ELASTIX_VERSION "). Needed: " + requirements +
         ". Run: " + remedy);
  }
}

void
checkTorch(const fs::path & site)
{
  fs::path library = loadedLibrary("libtorch_cpu");
  if (library.empty())
  {
    library = site / "torch" / "lib" / "libtorch_cpu.so";
    if (!fs::exists(library))
    {
      fail("torch is not installed in " + site.string() + ". Needed: " + requirements + ". Run: " + remedy);
    }
  }
  const fs::path    package = library.lexically_normal().parent_path().parent_path();
  const std::string version = torchVersion(package);
  if (!isOfSeries(version, IMPACT_TORCH_SERIES))
  {
    fail("torch " + (version.empty() ? "of unknown version" : version) + " in " + package.string() +
         " is not the version this plugin was built for (" IMPACT_TORCH_VERSION "). Needed: " + requirements +
         ". Run: " + remedy);
  }
}

} // namespace

extern "C" __attribute__((visibility("default"))) int
ImpactMetricInstallComponent(void * database)
{
  const fs::path site = ownPath().parent_path().parent_path();
  checkItkElastix();
  checkTorch(site);

  const fs::path plugin = site / "impact_plugin" / "libimpact_elastix.so";
  void * const   handle = dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
  {
    const char * const reason = dlerror();
    fail("opening " + plugin.string() + " failed: " + (reason ? reason : "no reason given") +
         ". Reinstall with: python -m pip install --force-reinstall --no-deps impact-plugin");
  }
  using Install = int (*)(void *);
  const auto install = reinterpret_cast<Install>(dlsym(handle, "ImpactMetricInstallComponent"));
  if (!install)
  {
    fail("libimpact_elastix.so has no ImpactMetricInstallComponent. Reinstall impact-plugin.");
  }
  return install(database);
}
