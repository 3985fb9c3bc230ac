#include "impact/kernels/sampling_kernels.h"

#include "impact/kernels/halves.h"
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

/** Where a point lies among the voxels of a map. */
struct Cell
{
  std::int64_t base; // offset of the lower corner's row
  float        fraction[3];
  float        inside[3]; // 0 beyond the outermost centres
};

inline Cell
cellOf(const FeatureGrid & grid, const double * point)
{
  Cell               cell;
  const std::int64_t strides[3] = { grid.channels,
                                    grid.channels * grid.size[0],
                                    grid.channels * grid.size[0] * grid.size[1] };
  cell.base = 0;
  for (int axis = 0; axis < 3; ++axis)
  {
    const double * const m = grid.toIndex + 3 * axis;
    const double         index =
      m[0] * (point[0] - grid.origin[0]) + m[1] * (point[1] - grid.origin[1]) + m[2] * (point[2] - grid.origin[2]);
    const auto   last = static_cast<double>(grid.size[axis] - 1);
    const double fromZero = index > 0.0 ? index : 0.0; // also of what is no number
    const double place = fromZero < last ? fromZero : last;
    const auto   below = static_cast<std::int64_t>(place);
    const auto   lower = below < grid.size[axis] - 1 ? below : grid.size[axis] > 1 ? grid.size[axis] - 2 : 0;
    cell.fraction[axis] = static_cast<float>(place - static_cast<double>(lower));
    cell.inside[axis] = index >= 0.0 && index <= last && grid.size[axis] > 1 ? 1.0F : 0.0F;
    cell.base += lower * strides[axis];
  }
  return cell;
}

/** The corner's rows of a cell; T is float or the bits of a half. */
template <typename T>
struct Corners
{
  const T * rows[2][2][2]; // z, y, x
};

template <typename T>
inline Corners<T>
cornersOf(const T * rows, const FeatureGrid & grid, const Cell & cell)
{
  const std::int64_t x = grid.size[0] > 1 ? grid.channels : 0;
  const std::int64_t y = grid.size[1] > 1 ? grid.channels * grid.size[0] : 0;
  const std::int64_t z = grid.size[2] > 1 ? grid.channels * grid.size[0] * grid.size[1] : 0;
  Corners<T>         corners;
  for (int k = 0; k < 8; ++k)
  {
    corners.rows[k >> 2][(k >> 1) & 1][k & 1] = rows + cell.base + (k & 1) * x + ((k >> 1) & 1) * y + (k >> 2) * z;
  }
  return corners;
}

/** Value and, on request, derivatives of one channel or a vector of them; T is float or Vec. */
template <typename T, typename Row, typename Read>
inline __attribute__((always_inline)) void
interpolate(const Corners<Row> & corners, const Cell & cell, const Read & read, T & value, T * partials)
{
  const auto & [fx, fy, fz] = cell.fraction;
  const auto along = [&](int z, int y, T & at, T & slope) __attribute__((always_inline)) {
    const T lower = read(corners.rows[z][y][0]);
    slope = read(corners.rows[z][y][1]) - lower;
    at = lower + fx * slope;
  };
  T v00, v10, v01, v11, d00, d10, d01, d11;
  along(0, 0, v00, d00);
  along(0, 1, v10, d10);
  along(1, 0, v01, d01);
  along(1, 1, v11, d11);
  const T e0 = v10 - v00;
  const T e1 = v11 - v01;
  const T v0 = v00 + fy * e0;
  const T v1 = v01 + fy * e1;
  value = v0 + fz * (v1 - v0);
  if (partials)
  {
    const T d0 = d00 + fy * (d10 - d00);
    const T d1 = d01 + fy * (d11 - d01);
    partials[0] = cell.inside[0] * (d0 + fz * (d1 - d0));
    partials[1] = cell.inside[1] * (e0 + fz * (e1 - e0));
    partials[2] = cell.inside[2] * (v1 - v0);
  }
}

template <typename Row>
void
gatherSample(const Corners<Row> & corners,
             const Cell &         cell,
             const std::int64_t * chosen,
             std::int64_t         wanted,
             float *              values,
             float *              partials)
{
  std::int64_t i = 0;
  for (; !chosen && i + lanes <= wanted; i += lanes)
  {
    Vec value;
    Vec slopes[3];
    interpolate<Vec>(corners, cell, [i](const Row * row) { return load(row + i); }, value, partials ? slopes : nullptr);
    store(values + i, value);
    if (partials)
    {
      store(partials + i, slopes[0]);
      store(partials + wanted + i, slopes[1]);
      store(partials + 2 * wanted + i, slopes[2]);
    }
  }
  for (; i < wanted; ++i)
  {
    const std::int64_t channel = chosen ? chosen[i] : i;
    float              slopes[3];
    interpolate<float>(
      corners,
      cell,
      [channel](const Row * row) { return number(row[channel]); },
      values[i],
      partials ? slopes : nullptr);
    for (int axis = 0; partials && axis < 3; ++axis)
    {
      partials[axis * wanted + i] = slopes[axis];
    }
  }
}

/** Maps are large and points lie anywhere: their rows are asked for some points ahead. */
template <typename Row>
inline void
prefetch(const Corners<Row> & corners, std::int64_t channels)
{
  constexpr std::int64_t line = 64 / sizeof(Row);
  constexpr std::int64_t most = 16; // lines: more than a core can wait for
  const std::int64_t     length = 2 * channels < most * line ? 2 * channels : most * line;
  for (int k = 0; k < 4; ++k)
  {
    for (std::int64_t i = 0; i < length; i += line)
    {
      __builtin_prefetch(corners.rows[k >> 1][k & 1][0] + i);
    }
    __builtin_prefetch(corners.rows[k >> 1][k & 1][0] + length - 1);
  }
}

template <typename Row>
void
gatherRows(const Row *          rows,
           const FeatureGrid &  grid,
           const double *       points,
           std::int64_t         count,
           const std::int64_t * chosen,
           std::int64_t         wanted,
           float *              values,
           float *              partials)
{
  constexpr int ahead = 4;
  Cell          cells[ahead];
  Corners<Row>  corners[ahead];
  for (std::int64_t n = 0; n < count + ahead; ++n)
  {
    Cell &         cell = cells[n % ahead];
    Corners<Row> & around = corners[n % ahead];
    if (n >= ahead)
    {
      const std::int64_t s = n - ahead;
      gatherSample(around, cell, chosen, wanted, values + s * wanted, partials ? partials + 3 * s * wanted : nullptr);
    }
    if (n < count)
    {
      cell = cellOf(grid, points + 3 * n);
      around = cornersOf(rows, grid, cell);
      prefetch(around, grid.channels);
    }
  }
}

void
gather(const FeatureGrid &  grid,
       const double *       points,
       std::int64_t         count,
       const std::int64_t * chosen,
       std::int64_t         wanted,
       float *              values,
       float *              partials)
{
  if (grid.rows)
  {
    gatherRows(grid.rows, grid, points, count, chosen, wanted, values, partials);
  }
  else
  {
    gatherRows(grid.halves, grid, points, count, chosen, wanted, values, partials);
  }
}

bool
fitsHalf(const float * from, std::int64_t count)
{
  constexpr float largest = 65504.0F;
  bool            fits = true;
  for (std::int64_t i = 0; i < count; ++i)
  {
    fits &= from[i] <= largest && from[i] >= -largest;
  }
  return fits;
}

void
halve(const float * from, std::int64_t count, std::uint16_t * to)
{
  for (std::int64_t i = 0; i < count; ++i)
  {
    to[i] = halfOf(from[i]);
  }
}

void
pullBackToPoints(const FeatureGrid & grid,
                 const float *       partials,
                 const float *       gradients,
                 std::int64_t        count,
                 std::int64_t        wanted,
                 double *            result)
{
  for (std::int64_t s = 0; s < count; ++s)
  {
    const float * const g = gradients + s * wanted;
    double              perVoxel[3];
    for (int axis = 0; axis < 3; ++axis)
    {
      const float * const slope = partials + (3 * s + axis) * wanted;
      Vec                 sums{};
      std::int64_t        i = 0;
      for (; i + lanes <= wanted; i += lanes)
      {
        sums += load(slope + i) * load(g + i);
      }
      double sum = 0.0;
      for (int lane = 0; lane < lanes; ++lane)
      {
        sum += sums[lane];
      }
      for (; i < wanted; ++i)
      {
        sum += slope[i] * g[i];
      }
      perVoxel[axis] = sum;
    }
    for (int i = 0; i < 3; ++i)
    {
      result[3 * s + i] =
        grid.toIndex[i] * perVoxel[0] + grid.toIndex[3 + i] * perVoxel[1] + grid.toIndex[6 + i] * perVoxel[2];
    }
  }
}

} // namespace

const SamplingKernels IMPACT_SAMPLING_KERNELS{ gather, fitsHalf, halve, pullBackToPoints };

} // namespace impact
