#include "impact/base/geometry.h"

#include <algorithm>
#include <cmath>

namespace impact
{

namespace
{

double
cofactor(const Matrix & m, int r, int c)
{
  const int r1 = (r + 1) % 3, r2 = (r + 2) % 3, c1 = (c + 1) % 3, c2 = (c + 2) % 3;
  return m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1];
}

} // namespace

double
determinant(const Matrix & m)
{
  return m[0][0] * cofactor(m, 0, 0) + m[0][1] * cofactor(m, 0, 1) + m[0][2] * cofactor(m, 0, 2);
}

Matrix
inverse(const Matrix & m)
{
  const double whole = determinant(m);
  Matrix       result{};
  for (int r = 0; r < 3; ++r)
  {
    for (int c = 0; c < 3; ++c)
    {
      result[r][c] = cofactor(m, c, r) / whole;
    }
  }
  return result;
}

Vector
multiply(const Matrix & m, const Vector & v)
{
  Vector result{};
  for (int r = 0; r < 3; ++r)
  {
    result[r] = m[r][0] * v[0] + m[r][1] * v[1] + m[r][2] * v[2];
  }
  return result;
}

Matrix
Grid::indexToPhysical() const
{
  Matrix result = direction;
  for (auto & row : result)
  {
    for (int axis = 0; axis < 3; ++axis)
    {
      row[axis] *= spacing[axis];
    }
  }
  return result;
}

Vector
Grid::pointAt(const Vector & index) const
{
  Vector point = multiply(indexToPhysical(), index);
  for (int axis = 0; axis < 3; ++axis)
  {
    point[axis] += origin[axis];
  }
  return point;
}

Grid
Grid::resampled(const Vector & voxelSize) const
{
  Grid   result = *this;
  Vector firstIndex{};
  for (int axis = 0; axis < dimension; ++axis)
  {
    const double ratio = voxelSize[axis] > 0.0 ? voxelSize[axis] / spacing[axis] : 1.0;
    if (std::abs(ratio - 1.0) < 1e-6)
    {
      continue;
    }
    // The small slack keeps an extent that divides evenly from gaining a voxel by rounding.
    const double count = std::ceil(static_cast<double>(size[axis]) / ratio - 1e-6);
    result.size[axis] = std::max<std::int64_t>(1, static_cast<std::int64_t>(count));
    result.spacing[axis] = voxelSize[axis];
    firstIndex[axis] = 0.5 * (static_cast<double>(size[axis] - 1) - ratio * static_cast<double>(result.size[axis] - 1));
  }
  result.origin = pointAt(firstIndex);
  return result;
}

Grid
Grid::alongAxes(const Matrix & newDirection) const
{
  if (newDirection == direction)
  {
    return *this;
  }
  Grid result = *this;
  result.direction = newDirection;
  Vector fromCentre{};
  for (int axis = 0; axis < dimension; ++axis)
  {
    int    nearest = axis;
    double nearestCosine = -1.0;
    double covered = 0.0;
    for (int old = 0; old < dimension; ++old)
    {
      double cosine = 0.0;
      for (int i = 0; i < 3; ++i)
      {
        cosine += newDirection[i][axis] * direction[i][old];
      }
      covered += std::abs(cosine) * extent(old);
      if (std::abs(cosine) > nearestCosine + 1e-9)
      {
        nearestCosine = std::abs(cosine);
        nearest = old;
      }
    }
    result.spacing[axis] = spacing[nearest];
    // The small slack keeps a mere flip or exchange of axes from gaining a voxel by rounding.
    result.size[axis] =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(covered / spacing[nearest] - 1e-6)));
    fromCentre[axis] = -0.5 * static_cast<double>(result.size[axis] - 1) * result.spacing[axis];
  }
  const Vector centre = pointAt({ 0.5 * static_cast<double>(size[0] - 1),
                                  0.5 * static_cast<double>(size[1] - 1),
                                  0.5 * static_cast<double>(size[2] - 1) });
  const Vector first = multiply(newDirection, fromCentre);
  for (int i = 0; i < 3; ++i)
  {
    result.origin[i] = centre[i] + first[i];
  }
  return result;
}

Grid
Grid::strided(const Vector & stride, const Vector & offset, const std::array<std::int64_t, 3> & layerSize) const
{
  Grid result = *this;
  result.size = layerSize;
  result.origin = pointAt(offset);
  for (int axis = 0; axis < 3; ++axis)
  {
    result.spacing[axis] *= stride[axis];
  }
  return result;
}

Matrix
snapToSignedPermutation(const Matrix & direction, int dimension)
{
  // Of the at most six permutations, the one whose entries carry the most of the direction.
  std::array<int, 3> order{ 0, 1, 2 };
  std::array<int, 3> best = order;
  double             bestSum = -1.0;
  do
  {
    double sum = 0.0;
    for (int r = 0; r < dimension; ++r)
    {
      sum += std::abs(direction[r][order[r]]);
    }
    if (sum > bestSum + 1e-12)
    {
      bestSum = sum;
      best = order;
    }
  } while (std::next_permutation(order.begin(), order.begin() + dimension));

  Matrix result{};
  for (int r = 0; r < 3; ++r)
  {
    result[r][best[r]] = direction[r][best[r]] < 0.0 ? -1.0 : 1.0;
  }
  return result;
}

} // namespace impact
