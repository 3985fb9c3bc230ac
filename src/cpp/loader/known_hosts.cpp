#include "known_hosts.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace impact
{

const std::vector<KnownHost> &
knownHosts()
{
  static const std::vector<KnownHost> hosts = [] {
    std::vector<KnownHost> table;
    std::istringstream     rows(IMPACT_HOST_TABLE); // elastix-0.25.2=0.25.2,0.25.3 elastix-0.25.4=0.25.4
    for (std::string row; rows >> row;)
    {
      const auto         equals = row.find('=');
      KnownHost          host{ row.substr(0, equals), {} };
      std::istringstream versions(row.substr(equals + 1));
      for (std::string version; std::getline(versions, version, ',');)
      {
        host.versions.push_back(version);
      }
      table.push_back(host);
    }
    return table;
  }();
  return hosts;
}


const KnownHost *
knownHost(const std::string & version)
{
  for (const KnownHost & host : knownHosts())
  {
    if (std::any_of(host.versions.begin(), host.versions.end(), [&version](const std::string & series) {
          return isOfSeries(version, series);
        }))
    {
      return &host;
    }
  }
  return nullptr;
}


bool
isNewerThanKnown(const std::string & version)
{
  const std::string & last = knownHosts().back().versions.back();
  const auto          dot = last.rfind('.');
  return version.compare(0, dot + 1, last, 0, dot + 1) == 0 &&
         std::atoi(version.c_str() + dot + 1) > std::atoi(last.c_str() + dot + 1);
}


std::string
versionsOf(const KnownHost & host)
{
  std::string text;
  for (const std::string & version : host.versions)
  {
    text += (text.empty() ? "" : " or ") + version;
  }
  return text;
}


bool
isOfSeries(const std::string & version, const std::string & series)
{
  return version == series || version.rfind(series + ".", 0) == 0;
}

} // namespace impact
