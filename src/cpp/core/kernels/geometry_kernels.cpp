#include "geometry_kernels.h"

namespace impact
{
namespace
{

/** Two control points side by side: x, y, z, 0 of each. */
using Pair = double __attribute__((vector_size(64)));
using LoosePair = double __attribute__((vector_size(64), aligned(8), may_alias));

inline Pair
loadPair(const double * from)
{
  return *reinterpret_cast<const LoosePair *>(from);
}

inline Pair
pairOf(double first, double second)
{
  return Pair{ first, first, first, first, second, second, second, second };
}

/** Where a point lies in the grid: the first control point around it, and the weights of the four along each axis. */
struct Support
{
  double       point[3]; // after the first transform
  std::int64_t first;
  double       weights[3][4];
  bool         inside;
};

/** The largest whole number not above a value, without a call. */
inline double
wholeBelow(double value)
{
  const auto truncated = static_cast<double>(static_cast<std::int64_t>(value));
  return truncated > value ? truncated - 1.0 : truncated;
}

template <bool Is3D>
inline Support
supportOf(const BSplineGrid & grid, const double * x)
{
  Support result;
  double  fromOrigin[3];
  for (int i = 0; i < 3; ++i)
  {
    result.point[i] =
      grid.matrix[3 * i] * x[0] + grid.matrix[3 * i + 1] * x[1] + grid.matrix[3 * i + 2] * x[2] + grid.offset[i];
    fromOrigin[i] = result.point[i] - grid.origin[i];
  }
  constexpr double sixth = 1.0 / 6.0;
  result.first = 0;
  result.inside = true;
  std::int64_t stride = 1;
  for (int axis = 0; axis < (Is3D ? 3 : 2); ++axis)
  {
    const double index = grid.toIndex[3 * axis] * fromOrigin[0] + grid.toIndex[3 * axis + 1] * fromOrigin[1] +
                         grid.toIndex[3 * axis + 2] * fromOrigin[2];
    // Written so that what is no number is not inside.
    if (!(index >= 1.0 && index < static_cast<double>(grid.size[axis] - 2)))
    {
      result.inside = false;
      return result;
    }
    const double below = wholeBelow(index);
    const double t = index - below;
    const double s = 1.0 - t;
    result.weights[axis][0] = s * s * s * sixth;
    result.weights[axis][1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t);
    result.weights[axis][2] = 2.0 / 3.0 - s * s * (1.0 - 0.5 * s);
    result.weights[axis][3] = t * t * t * sixth;
    result.first += (static_cast<std::int64_t>(below) - 1) * stride;
    stride *= grid.size[axis];
  }
  return result;
}

template <bool Is3D>
void
mapPoints(const BSplineGrid & grid, const double * points, std::int64_t count, double * result)
{
  for (std::int64_t n = 0; n < count; ++n)
  {
    const Support support = supportOf<Is3D>(grid, points + 3 * n);
    double        moved[3] = { support.point[0], support.point[1], support.point[2] };
    if (support.inside)
    {
      Pair sums[2][2]{}; // of the first and last two along x; even and odd rows apart, so that none waits for another
      for (int z = 0; z < (Is3D ? 4 : 1); ++z)
      {
#pragma GCC unroll 4
        for (int y = 0; y < 4; ++y)
        {
          const double         weight = Is3D ? support.weights[2][z] * support.weights[1][y] : support.weights[1][y];
          const double * const row = grid.coefficients + 4 * (support.first + (z * grid.size[1] + y) * grid.size[0]);
          sums[0][y & 1] += weight * loadPair(row);
          sums[1][y & 1] += weight * loadPair(row + 8);
        }
      }
      const Pair displacement = pairOf(support.weights[0][0], support.weights[0][1]) * (sums[0][0] + sums[0][1]) +
                                pairOf(support.weights[0][2], support.weights[0][3]) * (sums[1][0] + sums[1][1]);
      for (int i = 0; i < 3; ++i)
      {
        moved[i] += displacement[i] + displacement[i + 4];
      }
    }
    for (int i = 0; i < 3; ++i)
    {
      result[3 * n + i] = moved[i];
    }
  }
}

template <bool Is3D>
void
pullBackPoints(const BSplineGrid & grid,
               const double *      points,
               const double *      gradients,
               std::int64_t        count,
               double *            sums)
{
  for (std::int64_t n = 0; n < count; ++n)
  {
    const double * const g = gradients + 3 * n;
    if (g[0] == 0.0 && g[1] == 0.0 && g[2] == 0.0)
    {
      continue;
    }
    const Support support = supportOf<Is3D>(grid, points + 3 * n);
    if (!support.inside)
    {
      continue;
    }
    const Pair gradient{ g[0], g[1], g[2], 0.0, g[0], g[1], g[2], 0.0 };
    const Pair first = pairOf(support.weights[0][0], support.weights[0][1]) * gradient;
    const Pair second = pairOf(support.weights[0][2], support.weights[0][3]) * gradient;
    for (int z = 0; z < (Is3D ? 4 : 1); ++z)
    {
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y)
      {
        const double   weight = Is3D ? support.weights[2][z] * support.weights[1][y] : support.weights[1][y];
        double * const row = sums + 4 * (support.first + (z * grid.size[1] + y) * grid.size[0]);
        *reinterpret_cast<LoosePair *>(row) += weight * first;
        *reinterpret_cast<LoosePair *>(row + 8) += weight * second;
      }
    }
  }
}

void
map(const BSplineGrid & grid, const double * points, std::int64_t count, double * result)
{
  grid.size[2] > 1 ? mapPoints<true>(grid, points, count, result) : mapPoints<false>(grid, points, count, result);
}

void
pullBack(const BSplineGrid & grid, const double * points, const double * gradients, std::int64_t count, double * sums)
{
  grid.size[2] > 1 ? pullBackPoints<true>(grid, points, gradients, count, sums)
                   : pullBackPoints<false>(grid, points, gradients, count, sums);
}

/** Linear interpolation, a few points at a time: first where they lie, then what is there. */
void
interpolate(const VoxelGrid & grid, const double * points, std::int64_t count, float * values, float * gradients)
{
  constexpr int      block = 64;
  const std::int64_t steps[3] = { grid.size[0] > 1 ? 1 : 0,
                                  grid.size[1] > 1 ? grid.size[0] : 0,
                                  grid.size[2] > 1 ? grid.size[0] * grid.size[1] : 0 };
  const std::int64_t strides[3] = { 1, grid.size[0], grid.size[0] * grid.size[1] };
  double             last[3];
  double             lastLower[3];
  for (int axis = 0; axis < 3; ++axis)
  {
    last[axis] = static_cast<double>(grid.size[axis] - 1);
    lastLower[axis] = grid.size[axis] > 1 ? last[axis] - 1.0 : 0.0;
  }
  for (std::int64_t begin = 0; begin < count; begin += block)
  {
    const int    number = static_cast<int>(count - begin < block ? count - begin : block);
    std::int64_t base[block];
    float        fraction[3][block];
    float        inside[3][block];
    for (int n = 0; n < number; ++n)
    {
      base[n] = 0;
    }
    for (int axis = 0; axis < 3; ++axis)
    {
      const double * const m = grid.toIndex + 3 * axis;
      for (int n = 0; n < number; ++n)
      {
        const double * const p = points + 3 * (begin + n);
        const double         index =
          m[0] * (p[0] - grid.origin[0]) + m[1] * (p[1] - grid.origin[1]) + m[2] * (p[2] - grid.origin[2]);
        double place = index > 0.0 ? index : 0.0; // also of what is no number
        place = place < last[axis] ? place : last[axis];
        const double truncated = static_cast<double>(static_cast<std::int32_t>(place));
        const double lower = truncated < lastLower[axis] ? truncated : lastLower[axis];
        fraction[axis][n] = static_cast<float>(place - lower);
        inside[axis][n] = index >= 0.0 && index <= last[axis] ? 1.0F : 0.0F;
        base[n] += static_cast<std::int64_t>(static_cast<std::int32_t>(lower)) * strides[axis];
      }
    }
    for (int n = 0; n < number; ++n)
    {
      const float * const corner = grid.voxels + base[n];
      const float         x = fraction[0][n];
      const float         y = fraction[1][n];
      const float         z = fraction[2][n];
      const float * const c10 = corner + steps[1];
      const float * const c01 = corner + steps[2];
      const float * const c11 = c10 + steps[2];
      const float         d00 = corner[steps[0]] - corner[0];
      const float         d10 = c10[steps[0]] - c10[0];
      const float         d01 = c01[steps[0]] - c01[0];
      const float         d11 = c11[steps[0]] - c11[0];
      const float         v00 = corner[0] + x * d00;
      const float         v10 = c10[0] + x * d10;
      const float         v01 = c01[0] + x * d01;
      const float         v11 = c11[0] + x * d11;
      const float         v0 = v00 + y * (v10 - v00);
      const float         v1 = v01 + y * (v11 - v01);
      values[begin + n] = v0 + z * (v1 - v0);
      if (gradients)
      {
        const float d0 = d00 + y * (d10 - d00);
        const float d1 = d01 + y * (d11 - d01);
        const float gx = inside[0][n] * (d0 + z * (d1 - d0));
        const float gy = inside[1][n] * ((v10 - v00) + z * ((v11 - v01) - (v10 - v00)));
        const float gz = inside[2][n] * (v1 - v0);
        for (int i = 0; i < 3; ++i)
        {
          gradients[3 * (begin + n) + i] = static_cast<float>(grid.toIndex[i]) * gx +
                                           static_cast<float>(grid.toIndex[3 + i]) * gy +
                                           static_cast<float>(grid.toIndex[6 + i]) * gz;
        }
      }
    }
  }
}

} // namespace

const GeometryKernels IMPACT_GEOMETRY_KERNELS{ map, pullBack, interpolate };

} // namespace impact
