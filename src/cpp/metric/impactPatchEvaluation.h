#ifndef impactPatchEvaluation_h
#define impactPatchEvaluation_h

#include "impact/api/similarity.h"
#include "impactEvaluationContext.h"
#include "impactSamples.h"

#include <memory>
#include <optional>

namespace impact
{

/** Jacobian mode: patches around every sample go through the networks at every evaluation.
 *
 * d(value)/d(mu) is the sum over every voxel of every patch, each with the transform's derivative at its own place. */
class PatchEvaluation
{
public:
  explicit PatchEvaluation(const SimilarityInput & input)
    : m_Similarity(std::make_unique<PatchSimilarity>(input))
  {}

  PatchSimilarity &
  GetSimilarity()
  {
    return *m_Similarity;
  }

  /** Runs the networks on some patches of both images, so that what they refuse is said before the first iteration. */
  void TryPatches(const EvaluationContext & context);

  /** \param derivative none: the value alone */
  double
  Evaluate(EvaluationContext & context, const Samples & samples, const std::optional<DerivativeView> & derivative);

private:
  std::unique_ptr<PatchSimilarity> m_Similarity;

  // Memory of an evaluation, used again by the next.
  PatchSimilarity::Patches m_Fixed;
  PatchSimilarity::Patches m_Moving;
  PatchSimilarity::Patches m_MovingGradients; // of the image, at each voxel of the patches
};

} // namespace impact

#endif
