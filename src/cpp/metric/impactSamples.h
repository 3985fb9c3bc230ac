#ifndef impactSamples_h
#define impactSamples_h

#include "impact/base/geometry.h"

#include <vector>

namespace impact
{

/** The samples that count: those that map inside the moving image and its mask. Three numbers a point. */
struct Samples
{
  std::vector<double> fixedPoints;
  std::vector<double> movingPoints;

  std::size_t
  size() const
  {
    return fixedPoints.size() / 3;
  }
};

/** Where samples lie in the moving image as it was last warped. */
struct WarpedSamples
{
  std::vector<double> points;
  std::vector<Matrix> toWarped; // the derivative of that place with respect to the moving point
};

/** Where a derivative with respect to the transform's parameters goes. */
struct DerivativeView
{
  double *    values;
  std::size_t size;
};

} // namespace impact

#endif
