#include "impact/settings/unfit_components.h"

#include "impact/settings/values.h"

#include <algorithm>
#include <sstream>
#include <string>

namespace impact
{
namespace
{

struct UnfitComponents
{
  const char *             parameter;
  std::vector<std::string> values;
  const char *             reason; // goes on after "because it"
  const char *             remedy;
};

/** By the names of elastix's Components. Whatever else it has, it has no groupwise registration through features: of
 * one and the same image, which such maps register with itself, the metric is 0 where nothing moves. */
const std::vector<UnfitComponents> &
unfitComponents()
{
  static const char * const oneByOne = "Register the images of the series one by one with one of them.";
  static const char * const byPairs = "is for groupwise registration, in which the slices along the last axis of one "
                                      "image are registered with each other; the metric compares a fixed with a moving "
                                      "image";
  static const std::vector<UnfitComponents> components{
    { "Transform",
      { "AffineLogStackTransform", "BSplineStackTransform", "EulerStackTransform", "TranslationStackTransform" },
      byPairs,
      oneByOne },
    { "Metric",
      { "PCAMetric", "PCAMetric2", "SumOfPairwiseCorrelationCoefficientsMetric", "VarianceOverLastDimensionMetric" },
      byPairs,
      oneByOne },
    { "Interpolator", { "ReducedDimensionBSplineInterpolator" }, byPairs, "Use \"BSplineInterpolator\"." },
    { "Interpolator",
      { "RayCastInterpolator" },
      "is for registration with a projection of the moving image; the metric compares images as they are",
      "Use \"BSplineInterpolator\"." },
    { "Transform",
      { "DeformationFieldTransform", "ExternalTransform" },
      "has no parameters to be found",
      "Give it as the initial transform, and one with parameters here." },
    { "Registration",
      { "MultiResolutionRegistrationWithFeatures" },
      "is for metrics of several images at once; the metric makes its features itself",
      "Use \"MultiResolutionRegistration\", or \"MultiMetricMultiResolutionRegistration\" for several metrics." },
  };
  return components;
}

} // namespace

void
findUnfitComponents(const ParameterMap & map, std::vector<Finding> & findings)
{
  for (const UnfitComponents & unfit : unfitComponents())
  {
    const auto entry = map.find(unfit.parameter);
    if (entry == map.end())
    {
      continue;
    }
    for (const std::string & value : entry->second)
    {
      if (std::find(unfit.values.begin(), unfit.values.end(), value) != unfit.values.end())
      {
        addFinding(findings,
                   { { Problem::Kind::Component,
                       "\"" + value + "\" cannot be used with the metric \"Impact\", because it " + unfit.reason + ".",
                       unfit.remedy },
                     Finding::Severity::Error,
                     unfit.parameter });
      }
    }
  }
}

Problem
unfitForBendingEnergy(const double weight, const std::string & transform)
{
  std::ostringstream text;
  text << weight << " is not allowed with " << transform << ", whose bending energy is not known.";
  return { Problem::Kind::Component,
           text.str(),
           "Give 0, or use (Transform \"BSplineTransform\") or (Transform \"RecursiveBSplineTransform\") with "
           "(BSplineTransformSplineOrder 3) and without UseCyclicTransform." };
}

void
findUnfitForBendingEnergy(const ParameterMap & map, const LevelSettings & level, std::vector<Finding> & findings)
{
  const auto valueOf = [&map](const std::string & name) {
    const auto entry = map.find(name);
    return entry == map.end() || entry->second.empty() ? std::string() : entry->second.front();
  };
  const std::string transform = valueOf("Transform");
  if (level.bendingEnergyWeight == 0.0 || transform.empty())
  {
    return;
  }
  const std::string parameter = level.nameOf("BendingEnergyWeight");
  for (const char * const linear : { "TranslationTransform",
                                     "EulerTransform",
                                     "SimilarityTransform",
                                     "AffineTransform",
                                     "AffineDTITransform",
                                     "AffineLogTransform" })
  {
    if (transform == linear)
    {
      addFinding(
        findings,
        { { Problem::Kind::Unused, "it has no effect with (Transform \"" + transform + "\"), which bends nothing." },
          Finding::Severity::Warning,
          parameter,
          { level.level } });
      return;
    }
  }
  std::string what = "(Transform \"" + transform + "\")";
  if (transform == "BSplineTransform" || transform == "RecursiveBSplineTransform")
  {
    const std::string order = valueOf("BSplineTransformSplineOrder");
    const bool        isCyclic = valueOf("UseCyclicTransform") == "true";
    if (!isCyclic && (order.empty() || toNumber<int>(order) == 3))
    {
      return;
    }
    what = isCyclic ? "(UseCyclicTransform \"true\")" : "(BSplineTransformSplineOrder " + order + ")";
  }
  addFinding(
    findings,
    { unfitForBendingEnergy(level.bendingEnergyWeight, what), Finding::Severity::Error, parameter, { level.level } });
}

} // namespace impact
