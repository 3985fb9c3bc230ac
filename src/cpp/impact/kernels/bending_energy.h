#pragma once

#include "impact/base/workers.h"
#include "impact/kernels/bending_kernels.h"

#include <cstdint>
#include <vector>

namespace impact
{

/** Where the control points of a B-spline lie. Their axes are at right angles; which way they point makes no difference
 * to the energy. */
struct ControlPoints
{
  int          dimension;
  std::int64_t size[3];    // 2D: the last one is 1
  double       spacing[3]; // mm; of an axis that there is not: 1
};

/** The bending energy of the displacement u of a cubic B-spline, in mm^-2:
 *
 *   E = 1/V integral over the grid of the sum over d, i, j of (d^2 u_d / dx_i dx_j)^2
 *
 * (Rueckert et al., Nonrigid registration using free-form deformations, IEEE Trans. Med. Imaging 18, 1999, eq. 8),
 * where the grid is the region with four control points around each place along each axis, of volume V. It is what
 * elastix's TransformBendingEnergyPenalty takes the mean of at samples of the fixed image; here it is exact, in the
 * coefficients c of each component:
 *
 *   E = sum over d of c_d^T Q c_d,   Q = sum over a + b + c = 2 of 2! / (a! b! c!) Gx_a (x) Gy_b (x) Gz_c,
 *
 * of products along the axes with Gx_m[p, q] = hx^(-2 m) / (n - 3) times the integral from 1 to n - 2 of B^(m)(t - p)
 * B^(m)(t - q), B the cubic B-spline, n the number of control points and hx their distance (Shackleford et al.,
 * Analytic regularization of uniform cubic B-spline deformation fields, MICCAI 2012, LNCS 7511). What is affine costs
 * nothing, because it is not asked where the spline is cut off.
 *
 * To be used by one thread at a time, whose workers may help: the result is the same to the bit. */
class BendingEnergy
{
public:
  BendingEnergy(const ControlPoints & points, const BendingKernels & kernels);

  /** With the kernels for this machine's processor. */
  explicit BendingEnergy(const ControlPoints & points);

  BendingEnergy(const BendingEnergy &) = delete; // it points to its own weights
  BendingEnergy & operator=(const BendingEnergy &) = delete;

  /** \param coefficients mm; of one component after the other, x fastest
   * \param weight       times this, the derivative is added to `derivative`, which may be null
   * \return the energy, without the weight */
  double evaluate(const double * coefficients, double weight, double * derivative, Workers & workers);

private:
  const BendingKernels & m_Kernels;
  int                    m_Dimension;
  BendingBands           m_Bands{};
  std::vector<float>     m_Weights[3][3]; // axis, order of the derivative
  std::vector<float>     m_Between;       // of all planes of all components
  BendingTrend           m_Trends[3]{};
  std::vector<double>    m_Sums; // of parts of them
};

} // namespace impact
