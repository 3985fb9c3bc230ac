#pragma once

#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

#include <vector>

namespace impact
{

/** What NormalizeLosses divides the distances of a level's layers by: what each was at the first evaluation, so that
 * every layer starts at 1. A constant for the derivative. */
class LossDivisors
{
public:
  explicit LossDivisors(const LevelSettings & settings)
    : m_AreWanted(settings.normalizeLosses)
    , m_Divisors(settings.layers.size())
  {}

  /** A layer's distance, divided; as it is where that is not wanted, or where it was 0 or below at first. What rounding
   * leaves of a perfect match counts as 0. The first call for a layer, with samples, is its first evaluation.
   *
   * \param distance a scalar, in double precision */
  at::Tensor
  divided(std::size_t layer, Distance kind, const at::Tensor & distance, std::int64_t samples)
  {
    if (!m_AreWanted || samples == 0)
    {
      return distance;
    }
    at::Tensor & divisor = m_Divisors[layer];
    if (!divisor.defined()) // without asking the device for its value
    {
      const at::Tensor first = distance.detach();
      divisor = at::where(first > leastOf(kind), first, at::ones_like(first));
    }
    return distance / divisor;
  }

private:
  /** Distances without a unit are small where they are near 0; those that have one may be small everywhere. */
  static double
  leastOf(Distance kind)
  {
    const bool hasUnit = kind == Distance::L1 || kind == Distance::L2 || kind == Distance::DotProduct;
    return hasUnit ? 0.0 : 1e-12;
  }

  bool                    m_AreWanted;
  std::vector<at::Tensor> m_Divisors; // of the layers that have been evaluated
};

} // namespace impact
