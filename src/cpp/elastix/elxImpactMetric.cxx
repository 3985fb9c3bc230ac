#include "elxImpactMetric.h"

namespace elastix
{
namespace
{

/** Stands in for the metric at image dimensions that it does not have. */
itk::Object::Pointer
RefuseDimension()
{
  throw ImpactError(__FILE__,
                    __LINE__,
                    "Metric \"Impact\" cannot run: parameter FixedImageDimension is 4. Allowed: images of 2 or 3 "
                    "dimensions. Register the volumes of a time series one by one.");
}

template <unsigned int VIndex = 1>
int
Install(ComponentDatabase & database)
{
  using ElastixType = typename ElastixTypedef<VIndex>::ElastixType;
  int result = 0;
  if constexpr (ElastixType::FixedDimension <= 3 && ElastixType::MovingDimension <= 3)
  {
    result = InstallFunctions<ImpactMetric<ElastixType>>::InstallComponent("Impact", VIndex, &database);
  }
  else
  {
    result = database.SetCreator("Impact", VIndex, RefuseDimension);
  }
  if constexpr (VIndex < NrOfSupportedImageTypes)
  {
    result |= Install<VIndex + 1>(database);
  }
  return result;
}

} // namespace
} // namespace elastix

#ifndef IMPACT_INSTALL_FUNCTION
#  define IMPACT_INSTALL_FUNCTION ImpactMetricInstallComponent
#endif

/** What elastix calls after it has loaded the plugin, or at its start where the metric is a part of it; 0 means
 * success.
 */
extern "C" __attribute__((visibility("default"))) int
IMPACT_INSTALL_FUNCTION(elastix::ComponentDatabase * database)
{
  return elastix::Install(*database);
}

#ifdef IMPACT_HOST_FOLDER
/** The folder that this library was built for: the loader refuses one that lies in another. */
extern "C" __attribute__((visibility("default"))) const char *
ImpactMetricHostFolder()
{
  return IMPACT_HOST_FOLDER;
}
#endif
