#include "impact/kernels/geometry_kernels.h"

#include "impact/kernels/spline_cells.h"

namespace impact
{
namespace
{

template <bool Is3D>
void
mapPoints(const BSplineGrid & grid, const double * points, std::int64_t count, double * result)
{
  constexpr int rows = Is3D ? 4 : 1;
  const ToIndex toIndex(grid);
  Places        places;
  for (std::int64_t begin = 0; begin < count; begin += block)
  {
    const int number = static_cast<int>(count - begin < block ? count - begin : block);
    locate<Is3D>(grid, toIndex, points + 3 * begin, number, places);
    double * const to = result + 3 * begin;
    for (int n = 0; n < number; ++n)
    {
      const double x[3] = { points[3 * (begin + n)], points[3 * (begin + n) + 1], points[3 * (begin + n) + 2] };
      for (int i = 0; i < 3; ++i)
      {
        const double * const m = grid.matrix + 3 * i;
        to[3 * n + i] = m[0] * x[0] + m[1] * x[1] + m[2] * x[2] + grid.offset[i];
      }
    }
    forCells(
      places,
      [&](std::int64_t cell, const int * members, int size) {
        for (int i = 0; i < size; i += 8)
        {
          Eight weights[3][4];
          for (int axis = 0; axis < (Is3D ? 3 : 2); ++axis)
          {
            Eight t;
            for (int lane = 0; lane < 8; ++lane)
            {
              t[lane] = places.fraction[axis][members[i + lane < size ? i + lane : size - 1]];
            }
            weightsAt(t, weights[axis]);
          }
          Eight sums[3]{};
          for (int z = 0; z < rows; ++z)
          {
            for (int y = 0; y < 4; ++y)
            {
              const double * const row = grid.coefficients + 4 * (cell + (z * grid.size[1] + y) * grid.size[0]);
              const Eight          weight = Is3D ? weights[2][z] * weights[1][y] : weights[1][y];
              for (int d = 0; d < 3; ++d)
              {
                sums[d] += weight * (weights[0][0] * row[d] + weights[0][1] * row[4 + d] + weights[0][2] * row[8 + d] +
                                     weights[0][3] * row[12 + d]);
              }
            }
          }
          for (int lane = 0; lane < 8 && i + lane < size; ++lane)
          {
            for (int d = 0; d < 3; ++d)
            {
              to[3 * members[i + lane] + d] += sums[d][lane];
            }
          }
        }
      },
      [&](int n) {
        double weights[3][4];
        for (int axis = 0; axis < (Is3D ? 3 : 2); ++axis)
        {
          weightsAt(places.fraction[axis][n], weights[axis]);
        }
        Pair sums[2][2]{}; // of the first and last two along x; even and odd rows apart, so that none waits for another
        for (int z = 0; z < rows; ++z)
        {
#pragma GCC unroll 4
          for (int y = 0; y < 4; ++y)
          {
            const double         weight = Is3D ? weights[2][z] * weights[1][y] : weights[1][y];
            const double * const row =
              grid.coefficients + 4 * (places.first[n] + (z * grid.size[1] + y) * grid.size[0]);
            sums[0][y & 1] += weight * loadPair(row);
            sums[1][y & 1] += weight * loadPair(row + 8);
          }
        }
        const Pair displacement = pairOf(weights[0][0], weights[0][1]) * (sums[0][0] + sums[0][1]) +
                                  pairOf(weights[0][2], weights[0][3]) * (sums[1][0] + sums[1][1]);
        for (int d = 0; d < 3; ++d)
        {
          to[3 * n + d] += displacement[d] + displacement[d + 4];
        }
      });
  }
}

/** Adds up the gradients of points in one cell, which stay in registers: [z][axis][y][x]. */
template <bool Is3D>
void
pullBackCell(const BSplineGrid & grid,
             const Places &      places,
             const double *      gradients,
             std::int64_t        cell,
             const int *         members,
             int                 size,
             double *            sums)
{
  using Index = long long __attribute__((vector_size(64)));
  constexpr int rows = Is3D ? 4 : 1;
  Eight         coefficients[4]; // of the weights of x and of y
  for (int power = 0; power < 4; ++power)
  {
    const double * const p = splinePolynomials[power];
    coefficients[power] = Eight{ p[0], p[1], p[2], p[3], p[0], p[1], p[2], p[3] };
  }
  Eight total[rows][3][2]{};
  for (int i = 0; i < size; ++i)
  {
    const int    n = members[i];
    const double tx = places.fraction[0][n];
    const double ty = places.fraction[1][n];
    const Eight  t{ tx, tx, tx, tx, ty, ty, ty, ty };
    const Eight  w = coefficients[0] + t * (coefficients[1] + t * (coefficients[2] + t * coefficients[3]));
    const Eight  alongX = __builtin_shuffle(w, Index{ 0, 1, 2, 3, 0, 1, 2, 3 });
    const Eight  lower = alongX * __builtin_shuffle(w, Index{ 4, 4, 4, 4, 5, 5, 5, 5 });
    const Eight  upper = alongX * __builtin_shuffle(w, Index{ 6, 6, 6, 6, 7, 7, 7, 7 });
    double       alongZ[4] = { 1.0, 0.0, 0.0, 0.0 };
    if (Is3D)
    {
      weightsAt(places.fraction[2][n], alongZ);
    }
#pragma GCC unroll 4
    for (int z = 0; z < rows; ++z)
    {
#pragma GCC unroll 3
      for (int d = 0; d < 3; ++d)
      {
        const double g = alongZ[z] * gradients[3 * n + d];
        total[z][d][0] += g * lower;
        total[z][d][1] += g * upper;
      }
    }
  }
  for (int z = 0; z < rows; ++z)
  {
    for (int y = 0; y < 4; ++y)
    {
      double * const row = sums + 4 * (cell + (z * grid.size[1] + y) * grid.size[0]);
      for (int d = 0; d < 3; ++d)
      {
        const Eight & half = total[z][d][y / 2];
        for (int x = 0; x < 4; ++x)
        {
          row[4 * x + d] += half[4 * (y % 2) + x];
        }
      }
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
  const ToIndex toIndex(grid);
  Places        places;
  for (std::int64_t begin = 0; begin < count; begin += block)
  {
    const int            number = static_cast<int>(count - begin < block ? count - begin : block);
    const double * const from = gradients + 3 * begin;
    locate<Is3D>(grid, toIndex, points + 3 * begin, number, places);
    forCells(
      places,
      [&](std::int64_t cell, const int * members, int size) {
        pullBackCell<Is3D>(grid, places, from, cell, members, size, sums);
      },
      [&](int n) {
        double weights[3][4];
        for (int axis = 0; axis < (Is3D ? 3 : 2); ++axis)
        {
          weightsAt(places.fraction[axis][n], weights[axis]);
        }
        const double * const g = from + 3 * n;
        const Pair           gradient{ g[0], g[1], g[2], 0.0, g[0], g[1], g[2], 0.0 };
        const Pair           low = pairOf(weights[0][0], weights[0][1]) * gradient;
        const Pair           high = pairOf(weights[0][2], weights[0][3]) * gradient;
        for (int z = 0; z < (Is3D ? 4 : 1); ++z)
        {
#pragma GCC unroll 4
          for (int y = 0; y < 4; ++y)
          {
            const double   weight = Is3D ? weights[2][z] * weights[1][y] : weights[1][y];
            double * const row = sums + 4 * (places.first[n] + (z * grid.size[1] + y) * grid.size[0]);
            *reinterpret_cast<LoosePair *>(row) += weight * low;
            *reinterpret_cast<LoosePair *>(row + 8) += weight * high;
          }
        }
      });
  }
}

void
map(const BSplineGrid & grid, const double * points, std::int64_t count, double * result)
{
  grid.size[2] > 1 ? mapPoints<true>(grid, points, count, result) : mapPoints<false>(grid, points, count, result);
}

void
pullBackToCoefficients(const BSplineGrid & grid,
                       const double *      points,
                       const double *      gradients,
                       std::int64_t        count,
                       double *            sums)
{
  grid.size[2] > 1 ? pullBackPoints<true>(grid, points, gradients, count, sums)
                   : pullBackPoints<false>(grid, points, gradients, count, sums);
}

/** Linear interpolation, a few points at a time, in loops that vectors can do: first where they lie, then what is
 * there.
 */
void
interpolate(const VoxelGrid & grid, const double * points, std::int64_t count, float * values, float * gradients)
{
  constexpr int most = 64;
  // From a voxel to the next along each axis; nothing where there is no next.
  const std::int64_t stepX = grid.size[0] > 1 ? 1 : 0;
  const std::int64_t stepY = grid.size[1] > 1 ? grid.size[0] : 0;
  const std::int64_t stepZ = grid.size[2] > 1 ? grid.size[0] * grid.size[1] : 0;
  float              toIndex[9];
  for (int i = 0; i < 9; ++i)
  {
    toIndex[i] = static_cast<float>(grid.toIndex[i]);
  }
  for (std::int64_t begin = 0; begin < count; begin += most)
  {
    const int            number = static_cast<int>(count - begin < most ? count - begin : most);
    const double * const from = points + 3 * begin;
    std::int64_t         base[most]; // the voxel below
    float                fraction[3][most];
    float                inside[3][most]; // 0 beyond the outermost voxel centres
    for (int n = 0; n < number; ++n)
    {
      base[n] = 0;
    }
    std::int64_t stride = 1;
    for (int axis = 0; axis < 3; stride *= grid.size[axis], ++axis)
    {
      const double * const m = grid.toIndex + 3 * axis;
      const double         last = static_cast<double>(grid.size[axis] - 1);
      const double         lastLower = grid.size[axis] > 1 ? last - 1.0 : 0.0;
      for (int n = 0; n < number; ++n)
      {
        const double * const p = from + 3 * n;
        const double         index =
          m[0] * (p[0] - grid.origin[0]) + m[1] * (p[1] - grid.origin[1]) + m[2] * (p[2] - grid.origin[2]);
        double place = index > 0.0 ? index : 0.0; // also of what is no number
        place = place < last ? place : last;
        const double truncated = static_cast<double>(static_cast<std::int32_t>(place));
        const double lower = truncated < lastLower ? truncated : lastLower;
        fraction[axis][n] = static_cast<float>(place - lower);
        inside[axis][n] = index >= 0.0 && index <= last ? 1.0F : 0.0F;
        base[n] += static_cast<std::int64_t>(static_cast<std::int32_t>(lower)) * stride;
      }
    }
    float along[3][most]; // the derivative per voxel
    float value[most];
    for (int n = 0; n < number; ++n)
    {
      const float         x = fraction[0][n];
      const float         y = fraction[1][n];
      const float         z = fraction[2][n];
      const float * const voxel = grid.voxels + base[n];
      const float         c000 = voxel[0];
      const float         c010 = voxel[stepY];
      const float         c001 = voxel[stepZ];
      const float         c011 = voxel[stepZ + stepY];
      const float         d00 = voxel[stepX] - c000;
      const float         d10 = voxel[stepX + stepY] - c010;
      const float         d01 = voxel[stepX + stepZ] - c001;
      const float         d11 = voxel[stepX + stepZ + stepY] - c011;
      const float         v00 = c000 + x * d00;
      const float         v10 = c010 + x * d10;
      const float         v01 = c001 + x * d01;
      const float         v11 = c011 + x * d11;
      const float         v0 = v00 + y * (v10 - v00);
      const float         v1 = v01 + y * (v11 - v01);
      const float         d0 = d00 + y * (d10 - d00);
      const float         d1 = d01 + y * (d11 - d01);
      value[n] = v0 + z * (v1 - v0);
      along[0][n] = inside[0][n] * (d0 + z * (d1 - d0));
      along[1][n] = inside[1][n] * ((v10 - v00) + z * ((v11 - v01) - (v10 - v00)));
      along[2][n] = inside[2][n] * (v1 - v0);
    }
    for (int n = 0; n < number; ++n)
    {
      values[begin + n] = value[n];
    }
    for (int n = 0; gradients && n < number; ++n)
    {
      for (int i = 0; i < 3; ++i)
      {
        gradients[3 * (begin + n) + i] =
          toIndex[i] * along[0][n] + toIndex[3 + i] * along[1][n] + toIndex[6 + i] * along[2][n];
      }
    }
  }
}

} // namespace

const GeometryKernels IMPACT_GEOMETRY_KERNELS{ map, pullBackToCoefficients, interpolate };

} // namespace impact
