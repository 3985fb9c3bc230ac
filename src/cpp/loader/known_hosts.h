#pragma once

#include <string>
#include <vector>

namespace impact
{

/** Versions of itk-elastix whose classes are laid out alike. */
struct KnownHost
{
  std::string              folder; // of what is built for it, in the package
  std::vector<std::string> versions;
};

/** All that a plugin of this version can be built for, from the package's versions.json. */
const std::vector<KnownHost> & knownHosts();

/** The one of a version; what comes after the third number does not matter. Null where none fits. */
const KnownHost * knownHost(const std::string & version);

/** Whether pip takes a version for one that fits (0.25.5 where 0.25.4 is the last known), and so would take it again.
 */
bool isNewerThanKnown(const std::string & version);

/** "0.25.2 or 0.25.3" */
std::string versionsOf(const KnownHost & host);

/** Whether a version is the series or one within it: 2.13.1 is of 2.13, and 2.130 is not. */
bool isOfSeries(const std::string & version, const std::string & series);

} // namespace impact
