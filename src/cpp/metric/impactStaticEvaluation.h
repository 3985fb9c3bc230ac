#ifndef impactStaticEvaluation_h
#define impactStaticEvaluation_h

#include "impact/api/similarity.h"
#include "impactEvaluationContext.h"
#include "impactSamples.h"

#include <memory>
#include <optional>
#include <vector>

namespace impact
{

/** Static mode: features made once per level, or every few iterations from the warped moving image.
 *
 * d(value)/d(mu) = sum over samples s of (d(value)/dy_s)^T dT/dmu(x_s). */
class StaticEvaluation
{
public:
  explicit StaticEvaluation(std::unique_ptr<StaticSimilarity> similarity)
    : m_Similarity(std::move(similarity))
  {}

  StaticSimilarity &
  GetSimilarity()
  {
    return *m_Similarity;
  }

  /** Has WarpWhereDue() make the moving features anew. */
  void
  RequestWarp()
  {
    m_IsWarpDue = true;
  }

  /** At first, and where it was asked for, warps the moving image by the transform as it is, and makes the moving
   * features of it.
   *
   * \param parameters those of the transform
   * \return those of the last time */
  const std::vector<double> & WarpWhereDue(EvaluationContext & context, const std::vector<double> & parameters);

  /** \param ofPoints   null, or what the derivative has beside: a gradient for each moving point
   * \param warped     where the moving features are those of a warped image: its points take the place of the moving
   * ones
   * \param derivative none: the value alone */
  double Evaluate(EvaluationContext &                   context,
                  const Samples &                       samples,
                  const std::vector<double> *           ofPoints,
                  const WarpedSamples *                 warped,
                  const std::optional<DerivativeView> & derivative);

private:
  std::unique_ptr<StaticSimilarity> m_Similarity;
  bool                              m_IsWarpDue{ true };
  std::vector<double>               m_ParametersOfWarp;
};

} // namespace impact

#endif
