#pragma once

// No other headers: see geometry_kernels.h.

namespace impact
{

/** The weights of the four control points around a place t between the middle ones, of a cubic B-spline, as polynomials
 * in t: of t^0 on. */
constexpr double splinePolynomials[4][4] = { { 1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0, 0.0 },
                                             { -0.5, 0.0, 0.5, 0.0 },
                                             { 0.5, -1.0, 0.5, 0.0 },
                                             { -1.0 / 6.0, 0.5, -0.5, 1.0 / 6.0 } };

} // namespace impact
