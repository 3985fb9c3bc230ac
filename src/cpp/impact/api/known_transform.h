#pragma once

#include "impact/kernels/geometry_kernels.h"

namespace impact
{

/** A transform as plain numbers, for a device to evaluate: a linear one, or a cubic B-spline, after a linear one. */
struct KnownTransform
{
  bool isBSpline;

  /** Its matrix and offset are those of what comes first, of linear transforms too; the rest is of B-splines alone. */
  BSplineGrid grid;

  /** x -> matrix x + offset, row by row; of linear transforms alone. */
  double matrix[9];
  double offset[3];
};

} // namespace impact
