#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace impact
{

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>; // rows

double determinant(const Matrix & matrix);
Matrix inverse(const Matrix & matrix);
Vector multiply(const Matrix & matrix, const Vector & vector);

/** The geometry of an image in physical space (millimetres, ITK's LPS frame).
 *
 * Always three axes: a 2D grid has size 1, spacing 1 and an identity direction along the third, so that one code serves
 * both. Index order is x, y, z; voxel centres are at integer indices. */
struct Grid
{
  int                         dimension{ 3 };
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  Vector                      spacing{ 1.0, 1.0, 1.0 };
  Vector                      origin{ 0.0, 0.0, 0.0 };
  Matrix                      direction{ { { 1.0, 0.0, 0.0 }, { 0.0, 1.0, 0.0 }, { 0.0, 0.0, 1.0 } } };

  std::int64_t
  numberOfVoxels() const
  {
    return size[0] * size[1] * size[2];
  }

  /** Columns are the steps, in mm, from one voxel to the next along each axis. */
  Matrix indexToPhysical() const;

  Matrix
  physicalToIndex() const
  {
    return inverse(indexToPhysical());
  }

  Vector pointAt(const Vector & index) const;

  /** Extent in mm along an axis, from the outer edge of the first voxel to that of the last. */
  double
  extent(int axis) const
  {
    return static_cast<double>(size[axis]) * spacing[axis];
  }

  /** The grid with another voxel size (mm; 0 keeps the axis), the same axes and the same physical centre, covering the
   * whole extent: as many voxels as it takes, the last ones reaching at most half a voxel beyond the edge. */
  Grid resampled(const Vector & voxelSize) const;

  /** The smallest grid along other axes, with the same physical centre, that covers this one. Each new axis takes the
   * spacing of the old one that is nearest to it. */
  Grid alongAxes(const Matrix & newDirection) const;

  /** The grid of a layer whose voxel j lies at this grid's index offset + stride * j. */
  Grid strided(const Vector & stride, const Vector & offset, const std::array<std::int64_t, 3> & layerSize) const;
};

/** An image of floats, x fastest, that somebody else owns. */
struct ImageView
{
  const float * pixels{ nullptr };
  Grid          grid;
};

/** Nearest signed permutation of a direction matrix: entries -1, 0 and 1, one per row and column. */
Matrix snapToSignedPermutation(const Matrix & direction, int dimension);

} // namespace impact
