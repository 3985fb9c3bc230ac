#include "impact/kernels/bending_kernels.h"

namespace impact
{
namespace
{

// Grids have some tens of points along x: of longer vectors more would be empty.
constexpr int lanes = IMPACT_LANES < 8 ? IMPACT_LANES : 8;
using Vec = float __attribute__((vector_size(4 * lanes)));
using Loose = float __attribute__((vector_size(4 * lanes), aligned(4), may_alias));

/** Half as many, in double precision. */
constexpr int half = lanes / 2;
using Narrow = float __attribute__((vector_size(4 * half), aligned(4), may_alias));
using Wide = double __attribute__((vector_size(8 * half)));
using LooseWide = double __attribute__((vector_size(8 * half), aligned(8), may_alias));

inline Wide
widened(const float * from)
{
  return __builtin_convertvector(*reinterpret_cast<const Narrow *>(from), Wide);
}

constexpr int reach = bendingTaps / 2;

inline Vec
load(const float * from)
{
  return *reinterpret_cast<const Loose *>(from);
}

inline void
store(float * to, Vec value)
{
  *reinterpret_cast<Loose *>(to) = value;
}

/** Along y or z: the weights of one control point, and what lies at its taps; beyond the ends, where the weights are 0,
 * at the last. */
struct Taps
{
  const float * at[bendingTaps];
  const float * weights[3];
  bool          areSymmetric;

  Taps(const float * from, std::int64_t step, std::int64_t place, std::int64_t size, const float * const * ofAll)
    : areSymmetric(place >= reach && place + reach < size)
  {
    for (int tap = 0; tap < bendingTaps; ++tap)
    {
      const std::int64_t to = place + tap - reach;
      at[tap] = from + step * (to < 0 ? 0 : to < size ? to : size - 1);
    }
    for (int order = 0; order < 3; ++order)
    {
      weights[order] = ofAll[order] + bendingTaps * place;
    }
  }
};

/** What lies at a tap; of symmetric weights with what lies at its mirror image. */
template <bool VSymmetric>
inline Vec
valueAt(const Taps & taps, int tap, std::int64_t offset)
{
  const Vec value = load(taps.at[tap] + offset);
  return VSymmetric && tap < reach ? value + load(taps.at[bendingTaps - 1 - tap] + offset) : value;
}

/** For two rows or one. */
template <int VRows>
inline void
alongX(const BendingBands & bands, const float * from, float * to)
{
  for (std::int64_t i = 0; i < bands.rowSize; i += lanes)
  {
    Vec sums[3][VRows]{};
#pragma GCC unroll 7
    for (int tap = 0; tap < bendingTaps; ++tap)
    {
#pragma GCC unroll 2
      for (int row = 0; row < VRows; ++row)
      {
        const Vec value = load(from + row * bands.size[0] + i + tap - reach);
#pragma GCC unroll 3
        for (int order = 0; order < 3; ++order)
        {
          sums[order][row] += load(bands.alongX[order] + tap * bands.rowSize + i) * value;
        }
      }
    }
    for (int order = 0; order < 3; ++order)
    {
      for (int row = 0; row < VRows; ++row)
      {
        store(to + order * bands.planeSize + row * bands.rowSize + i, sums[order][row]);
      }
    }
  }
}

/** For some vectors side by side, `offset` from the row's begin. */
template <bool VSymmetric, int VVectors>
inline void
alongY(const Taps & taps, std::int64_t offset, std::int64_t plane, float * to)
{
  Vec sums[3][VVectors]{};
#pragma GCC unroll 7
  for (int tap = 0; tap < (VSymmetric ? reach + 1 : bendingTaps); ++tap)
  {
#pragma GCC unroll 3
    for (int n = 0; n < VVectors; ++n)
    {
      const Vec x0 = valueAt<VSymmetric>(taps, tap, offset + n * lanes);
      const Vec x1 = valueAt<VSymmetric>(taps, tap, offset + n * lanes + plane);
      const Vec x2 = valueAt<VSymmetric>(taps, tap, offset + n * lanes + 2 * plane);
      sums[0][n] += taps.weights[2][tap] * x0;
      sums[1][n] += taps.weights[1][tap] * x0;
      sums[2][n] += taps.weights[0][tap] * x0;
      sums[0][n] += taps.weights[1][tap] * x1;
      sums[1][n] += taps.weights[0][tap] * x1;
      sums[0][n] += taps.weights[0][tap] * x2;
    }
  }
  for (int order = 0; order < 3; ++order)
  {
    for (int n = 0; n < VVectors; ++n)
    {
      store(to + order * plane + offset + n * lanes, sums[order][n]);
    }
  }
}

/** Rows come out without a gap: what a vector has beyond the end of one is overwritten by the next. */
template <bool VSymmetric>
void
rowAlongY(const Taps & taps, const BendingBands & bands, float * to)
{
  std::int64_t offset = 0;
  for (; offset + 3 * lanes <= bands.rowSize; offset += 3 * lanes)
  {
    alongY<VSymmetric, 3>(taps, offset, bands.planeSize, to);
  }
  for (; offset < bands.rowSize; offset += lanes)
  {
    alongY<VSymmetric, 1>(taps, offset, bands.planeSize, to);
  }
}

void
inPlane(const BendingBands & bands,
        const double *       coefficients,
        const BendingTrend & trend,
        float *              between,
        float *              scratch)
{
  float * const copy = scratch + 3 * bands.planeSize;
  for (std::int64_t i = 0; i < bands.planeSize; ++i)
  {
    copy[i] = 0.0F;
  }
  for (std::int64_t y = 0; y < bands.size[1]; ++y)
  {
    const double         first = trend.value + static_cast<double>(y) * trend.slopes[1];
    const double * const from = coefficients + y * bands.size[0];
    float * const        to = copy + reach + y * bands.size[0];
    for (int x = 0; x < static_cast<int>(bands.size[0]); ++x)
    {
      to[x] = static_cast<float>(from[x] - (first + x * trend.slopes[0]));
    }
  }
  std::int64_t y = 0;
  for (; y + 1 < bands.size[1]; y += 2)
  {
    alongX<2>(bands, copy + reach + y * bands.size[0], scratch + y * bands.rowSize);
  }
  if (y < bands.size[1])
  {
    alongX<1>(bands, copy + reach + y * bands.size[0], scratch + y * bands.rowSize);
  }
  for (y = 0; y < bands.size[1]; ++y)
  {
    const Taps    taps(scratch, bands.rowSize, y, bands.size[1], bands.alongY);
    float * const to = between + y * bands.size[0];
    taps.areSymmetric ? rowAlongY<true>(taps, bands, to) : rowAlongY<false>(taps, bands, to);
  }
}

/** A part of one plane. Apart for either kind of weights: together, the compiler mixes their loads.
 *
 * \param derivative may be null
 * \param total      has the product times the coefficients added to it */
template <bool VSymmetric>
__attribute__((noinline)) void
alongZ(const Taps &   taps,
       std::int64_t   plane,
       std::int64_t   begin,
       std::int64_t   end,
       const double * coefficients,
       double         first,
       double         factor,
       double *       derivative,
       Wide (&total)[2])
{
  for (std::int64_t i = begin; i < end; i += lanes)
  {
    Vec sums[3]{};
#pragma GCC unroll 7
    for (int tap = 0; tap < (VSymmetric ? reach + 1 : bendingTaps); ++tap)
    {
#pragma GCC unroll 3
      for (int order = 0; order < 3; ++order)
      {
        sums[order] += taps.weights[order][tap] * valueAt<VSymmetric>(taps, tap, i + order * plane);
      }
    }
    float product[lanes];
    store(product, sums[0] + sums[1] + sums[2]);
    if (i + lanes > end)
    {
      for (int lane = 0; i + lane < end; ++lane)
      {
        total[lane / half][lane % half] += product[lane] * (coefficients[i + lane] - first);
        if (derivative)
        {
          derivative[i + lane] += factor * product[lane];
        }
      }
      return;
    }
    for (int n = 0; n < 2; ++n)
    {
      const Wide wide = widened(product + n * half);
      total[n] += wide * (*reinterpret_cast<const LooseWide *>(coefficients + i + n * half) - first);
      if (derivative)
      {
        *reinterpret_cast<LooseWide *>(derivative + i + n * half) += factor * wide;
      }
    }
  }
}

double
acrossPlanes(const BendingBands & bands,
             const double *       coefficients,
             const BendingTrend & trend,
             const float *        between,
             std::int64_t         begin,
             std::int64_t         end,
             double               factor,
             double *             derivative)
{
  Wide total[2]{};
  for (std::int64_t z = 0; z < bands.size[2]; ++z)
  {
    const Taps           taps(between, 3 * bands.planeSize, z, bands.size[2], bands.alongZ);
    const std::int64_t   first = z * bands.size[0] * bands.size[1];
    const double * const from = coefficients + first;
    double * const       to = derivative ? derivative + first : nullptr;
    const auto           along = taps.areSymmetric ? alongZ<true> : alongZ<false>;
    along(taps, bands.planeSize, begin, end, from, trend.value, factor, to, total);
  }
  double sum = 0.0;
  for (int lane = 0; lane < lanes; ++lane)
  {
    sum += total[lane / half][lane % half];
  }
  return sum;
}

} // namespace

const BendingKernels IMPACT_BENDING_KERNELS{ lanes, inPlane, acrossPlanes };

} // namespace impact
