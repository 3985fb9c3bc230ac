#pragma once

// Like spectral_kernels.h: no other headers.
#include <cstdint>

namespace impact
{

/** A control point of a cubic B-spline, and those up to three away on either side, which overlap with it. */
constexpr int bendingTaps = 7;

/** What BendingEnergy multiplies with along each axis: weights for derivatives of order 0, 1, 2 of every tap of every
 * control point. Those of taps beyond the ends are 0, those of points that are three away from both are symmetric. */
struct BendingBands
{
  std::int64_t  size[3];   // 2D: the last one is 1
  std::int64_t  rowSize;   // size[0], up to a multiple of the kernels' lanes
  std::int64_t  planeSize; // room for size[1] rows, and for what vectors read and write around them; an odd multiple of
                           // a cache line: of planes that lie in the same places of the cache, some would have to go
  const float * alongX[3]; // tap after tap, rowSize of each
  const float * alongY[3]; // control point after control point
  const float * alongZ[3]; // likewise
};

/** An affine part of one component's coefficients, which bends nothing. */
struct BendingTrend
{
  double value;     // of the first control point
  double slopes[3]; // from one to the next along each axis
};

/** The product of that matrix and one component's coefficients, in two passes. In single precision, so that twice as
 * many fit into a vector; what they are without their trend, and what is added up over all of them, is in double. */
struct BendingKernels
{
  int lanes; // numbers in a vector

  /** One plane's sums along x and y.
   *
   * \param coefficients of the plane, x fastest
   * \param trend        what they lose before, its value that at the plane's first control point
   * \param between      receives what goes on along z, with derivatives of order 0, 1, 2 there, planeSize of each
   * \param scratch      room for 4 planeSize numbers */
  void (*inPlane)(const BendingBands & bands,
                  const double *       coefficients,
                  const BendingTrend & trend,
                  float *              between,
                  float *              scratch);

  /** The sums along z, for the numbers from begin to end of each plane.
   *
   * \param coefficients of all planes
   * \param between      likewise
   * \param derivative   likewise; `factor` times the product is added to it; may be null
   * \return the product times the coefficients */
  double (*acrossPlanes)(const BendingBands & bands,
                         const double *       coefficients,
                         const BendingTrend & trend,
                         const float *        between,
                         std::int64_t         begin,
                         std::int64_t         end,
                         double               factor,
                         double *             derivative);
};

extern const BendingKernels bendingKernelsV4;
extern const BendingKernels bendingKernelsV3;
extern const BendingKernels bendingKernelsV1;

} // namespace impact
