#ifndef impactChainRule_h
#define impactChainRule_h

#include "impact/base/stage_times.h"
#include "impact/base/workers.h"
#include "impactPointMapping.h"
#include "impactSamples.h"

#include <functional>
#include <vector>

namespace impact
{

/** Fixed points, with the gradients with respect to what they are mapped to, in batches of at most so many. */
struct PointGradients
{
  std::size_t numberOfBatches{ 0 };
  std::size_t perBatch{ 0 };
  /** Writes three numbers each. \return how many there are in the batch */
  std::function<std::size_t(std::size_t batch, double * points, double * gradients)> fill;
};

/** \param fixedPoints three numbers a point, as the gradients; both must outlive the result */
PointGradients pointGradientsOf(const std::vector<double> & fixedPoints, const std::vector<double> & gradients);

/** From gradients at points to the derivative with respect to the transform's parameters. Keeps its memory for the next
 * time. */
class ChainRule
{
public:
  /** Sums are made in an order that does not depend on the number of threads.
   *
   * \param derivative receives the derivative; what is there is overwritten */
  void Apply(const PointGradients & points, const PointMapping & mapping, Workers & workers, DerivativeView derivative);

private:
  std::vector<std::vector<double>> m_Sums;
};

} // namespace impact

#endif
