#include "geometry_kernels.h"

namespace impact
{
namespace
{

using Four = double __attribute__((vector_size(32)));
using LooseFour = double __attribute__((vector_size(32), aligned(8), may_alias));

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
    result.weights[axis][0] = s * s * s / 6.0;
    result.weights[axis][1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t);
    result.weights[axis][2] = 2.0 / 3.0 - s * s * (1.0 - 0.5 * s);
    result.weights[axis][3] = t * t * t / 6.0;
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
      Four along[4]{};
      for (int z = 0; z < (Is3D ? 4 : 1); ++z)
      {
#pragma GCC unroll 4
        for (int y = 0; y < 4; ++y)
        {
          const Four           weight = (Is3D ? support.weights[2][z] * support.weights[1][y] : support.weights[1][y]) - Four{};
          const double * const row =
            grid.coefficients + 4 * (support.first + (z * grid.size[1] + y) * grid.size[0]);
#pragma GCC unroll 4
          for (int x = 0; x < 4; ++x)
          {
            along[x] += weight * *reinterpret_cast<const LooseFour *>(row + 4 * x);
          }
        }
      }
      const Four displacement = support.weights[0][0] * along[0] + support.weights[0][1] * along[1] +
                                support.weights[0][2] * along[2] + support.weights[0][3] * along[3];
      for (int i = 0; i < 3; ++i)
      {
        moved[i] += displacement[i];
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
    const Four gradient{ gradients[3 * n], gradients[3 * n + 1], gradients[3 * n + 2], 0.0 };
    if (gradient[0] == 0.0 && gradient[1] == 0.0 && gradient[2] == 0.0)
    {
      continue;
    }
    const Support support = supportOf<Is3D>(grid, points + 3 * n);
    if (!support.inside)
    {
      continue;
    }
    Four along[4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; ++x)
    {
      along[x] = support.weights[0][x] * gradient;
    }
    for (int z = 0; z < (Is3D ? 4 : 1); ++z)
    {
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y)
      {
        const Four     weight = (Is3D ? support.weights[2][z] * support.weights[1][y] : support.weights[1][y]) - Four{};
        double * const row = sums + 4 * (support.first + (z * grid.size[1] + y) * grid.size[0]);
#pragma GCC unroll 4
        for (int x = 0; x < 4; ++x)
        {
          *reinterpret_cast<LooseFour *>(row + 4 * x) += weight * along[x];
        }
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

} // namespace

const GeometryKernels IMPACT_GEOMETRY_KERNELS{ map, pullBack };

} // namespace impact
