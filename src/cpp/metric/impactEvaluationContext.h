#ifndef impactEvaluationContext_h
#define impactEvaluationContext_h

#include "impact/base/stage_times.h"
#include "impact/base/workers.h"
#include "impactChainRule.h"
#include "impactIntensity.h"
#include "impactPointMapping.h"

#include <memory>
#include <optional>

namespace impact
{

/** What evaluations of a level work with, in either mode. */
struct EvaluationContext
{
  std::unique_ptr<Intensity>    fixed;
  std::unique_ptr<Intensity>    moving;
  std::unique_ptr<PointMapping> mapping;
  std::shared_ptr<Workers>      workers;
  std::optional<Matrix>         gradientScale; // of gradients with respect to moving points
  ChainRule                     chainRule;
  StageTimes                    times;

  void
  ScaleGradient(double * gradient) const
  {
    if (gradientScale)
    {
      const Vector scaled = multiply(*gradientScale, { gradient[0], gradient[1], gradient[2] });
      std::copy(scaled.begin(), scaled.end(), gradient);
    }
  }

  void
  ApplyChainRule(const PointGradients & points, DerivativeView derivative)
  {
    const StageTimer timer(&times, Stage::ChainRule);
    chainRule.Apply(points, *mapping, *workers, derivative);
  }
};

} // namespace impact

#endif
