#ifndef impactIntensityComparison_h
#define impactIntensityComparison_h

#include "impact/kernels/mutual_information.h"
#include "impactEvaluationContext.h"
#include "impactSamples.h"

#include <vector>

namespace impact
{

/** What compares the intensities of the images themselves, beside their features: minus the mutual information of the
 * samples, times a weight. */
class IntensityComparison
{
public:
  IntensityComparison(double weight, const IntensityRange & fixed, const IntensityRange & moving)
    : m_Weight(weight)
    , m_Information(fixed, moving)
  {}

  double Evaluate(EvaluationContext & context, const Samples & samples, bool withGradient);

  /** Of the last evaluation, with respect to the moving points: three numbers each. */
  const std::vector<double> &
  GetGradient() const
  {
    return m_OfPoints;
  }

private:
  double            m_Weight;
  MutualInformation m_Information;

  // Memory of an evaluation, used again by the next.
  std::vector<float>  m_Fixed;
  std::vector<float>  m_Moving;
  std::vector<float>  m_MovingGradients; // of the image, at each sample
  std::vector<double> m_OfIntensities;
  std::vector<double> m_OfPoints;
};

} // namespace impact

#endif
