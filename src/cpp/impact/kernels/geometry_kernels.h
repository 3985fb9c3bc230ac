#pragma once

// Like spectral_kernels.h: no other headers.
#include <cstdint>

namespace impact
{

/** A cubic B-spline transform: point + sum over the control points around it of weight times coefficients. Points
 * outside the grid's inner region stay where they are. */
struct BSplineGrid
{
  /** x -> matrix x + offset, applied before; row by row. */
  double matrix[9];
  double offset[3];

  /** p -> toIndex (p - origin): index 0 is the first control point. */
  double toIndex[9];
  double origin[3];

  std::int64_t size[3]; // 2D: the last one is 1

  /** For each control point, x fastest: the coefficients of x, y, z, and 0. */
  const double * coefficients;
};

/** A scalar image. */
struct VoxelGrid
{
  const float * voxels; // x fastest
  std::int64_t  size[3];

  /** p -> toIndex (p - origin): index 0 is the first voxel's centre. */
  double toIndex[9];
  double origin[3];
};

/** Work on many points, three doubles each. */
struct GeometryKernels
{
  /** The points that the transform makes of points. */
  void (*map)(const BSplineGrid & grid, const double * points, std::int64_t count, double * result);

  /** Adds to `sums`, laid out as the coefficients, what gradients with respect to the transformed points are with
   * respect to the coefficients. */
  void (*pullBackToCoefficients)(const BSplineGrid & grid,
                                 const double *      points,
                                 const double *      gradients,
                                 std::int64_t        count,
                                 double *            sums);

  /** The image at points, linearly interpolated, and its derivative there, per mm, where `gradients` is not null.
   * Beyond the outermost voxel centres the edge's value holds and the derivative across the edge is zero. */
  void (
    *interpolate)(const VoxelGrid & grid, const double * points, std::int64_t count, float * values, float * gradients);
};

extern const GeometryKernels geometryKernelsV4;
extern const GeometryKernels geometryKernelsV3;
extern const GeometryKernels geometryKernelsV1;

} // namespace impact
