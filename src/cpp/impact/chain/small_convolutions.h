#pragma once

// 3 x 3 x 3 convolutions of one channel in small volumes, a line of which fits into the registers. No other headers:
// see spectral_kernels.h.
#include "impact/chain/volume_kernels.h"
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

/** Lines of the volume, and lines of the kernel, that meet: for the kernel's line t, the volume's z + t - 1. */
struct Meeting
{
  int first;
  int last;

  Meeting(int place, int size, int taps)
    : first(taps == 1 || place > 0 ? 0 : 1)
    , last(taps == 1          ? 0
           : place + 1 < size ? 2
                              : 1)
  {}
};

template <int N>
void
convolveSmall(const SmallPlan & plan, const float * from, float * to)
{
  const int middle = plan.depth / 2;
  for (int z = 0; z < plan.size[2]; ++z)
  {
    const Meeting alongZ(z, plan.size[2], plan.depth);
    for (int y = 0; y < plan.size[1]; ++y, to += N * static_cast<std::ptrdiff_t>(plan.channels))
    {
      const Meeting alongY(y, plan.size[1], 3);
      for (int column = 0; column < plan.channels; column += vectorsOfColumns * lanes)
      {
        Vec sums[N][vectorsOfColumns];
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i)
        {
          sums[i][0] = plan.bias ? load(plan.bias + column) : Vec{};
          sums[i][1] = plan.bias ? load(plan.bias + column + lanes) : Vec{};
        }
        for (int tz = alongZ.first; tz <= alongZ.last; ++tz)
        {
          for (int ty = alongY.first; ty <= alongY.last; ++ty)
          {
            const float * const line = from + ((z + tz - middle) * plan.size[1] + y + ty - 1) * N;
            const float * w = plan.weights + (tz * 3 + ty) * 3 * static_cast<std::ptrdiff_t>(plan.channels) + column;
            Vec           x[N];
#pragma GCC unroll 8
            for (int i = 0; i < N; ++i)
            {
              x[i] = spread(line[i]);
            }
#pragma GCC unroll 3
            for (int tx = 0; tx < 3; ++tx, w += plan.channels)
            {
              const Vec w0 = load(w);
              const Vec w1 = load(w + lanes);
#pragma GCC unroll 8
              for (int i = 0; i < N; ++i)
              {
                if (i + tx >= 1 && i + tx <= N)
                {
                  sums[i][0] += x[i + tx - 1] * w0;
                  sums[i][1] += x[i + tx - 1] * w1;
                }
              }
            }
          }
        }
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i)
        {
          store(to + static_cast<std::ptrdiff_t>(i) * plan.channels + column, sums[i][0]);
          store(to + static_cast<std::ptrdiff_t>(i) * plan.channels + column + lanes, sums[i][1]);
        }
      }
    }
  }
}

inline float
sumOf(Vec value)
{
  // Halves upon halves.
  float parts[lanes];
  store(parts, value);
#pragma GCC unroll 4
  for (int half = lanes / 2; half > 0; half /= 2)
  {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i)
    {
      parts[i] += parts[i + half];
    }
  }
  return parts[0];
}

template <int N>
void
convolveSmallBack(const SmallPlan & plan, const float * gradient, float * to)
{
  const int middle = plan.depth / 2;
  for (int z = 0; z < plan.size[2]; ++z)
  {
    const Meeting alongZ(z, plan.size[2], plan.depth);
    for (int y = 0; y < plan.size[1]; ++y, to += N)
    {
      const Meeting alongY(y, plan.size[1], 3);
      Vec           sums[N][vectorsOfColumns]{};
      for (int tz = alongZ.first; tz <= alongZ.last; ++tz)
      {
        for (int ty = alongY.first; ty <= alongY.last; ++ty)
        {
          // The tap that leads from there to here is the opposite one.
          const float * const line =
            gradient + ((z + tz - middle) * plan.size[1] + y + ty - 1) * N * static_cast<std::ptrdiff_t>(plan.channels);
          const int           tap = ((plan.depth - 1 - tz) * 3 + 2 - ty) * 3;
          const float * const weights = plan.weights + tap * static_cast<std::ptrdiff_t>(plan.channels);
          for (int column = 0; column < plan.channels; column += vectorsOfColumns * lanes)
          {
#pragma GCC unroll 2
            for (int vector = 0; vector < vectorsOfColumns; ++vector)
            {
              const int c = column + vector * lanes;
              Vec       w[3];
#pragma GCC unroll 3
              for (int tx = 0; tx < 3; ++tx)
              {
                w[tx] = load(weights + tx * static_cast<std::ptrdiff_t>(plan.channels) + c);
              }
#pragma GCC unroll 8
              for (int j = 0; j < N; ++j)
              {
                const Vec g = load(line + j * static_cast<std::ptrdiff_t>(plan.channels) + c);
#pragma GCC unroll 3
                for (int tx = 0; tx < 3; ++tx)
                {
                  if (j + tx >= 1 && j + tx <= N)
                  {
                    sums[j + tx - 1][vector] += g * w[tx];
                  }
                }
              }
            }
          }
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i)
      {
        to[i] = sumOf(sums[i][0] + sums[i][1]);
      }
    }
  }
}

constexpr int longestLine = IMPACT_ROWS < 8 ? 5 : 8;

/** Calls the template of the line's length. */
#define IMPACT_OF_LINE(function, plan, from, to)                                                                       \
  switch ((plan).size[0])                                                                                              \
  {                                                                                                                    \
    case 2:                                                                                                            \
      return function<2>(plan, from, to);                                                                              \
    case 3:                                                                                                            \
      return function<3>(plan, from, to);                                                                              \
    case 4:                                                                                                            \
      return function<4>(plan, from, to);                                                                              \
    case 5:                                                                                                            \
      return function<5>(plan, from, to);                                                                              \
    case 6:                                                                                                            \
      return function < longestLine<6 ? 5 : 6>(plan, from, to);                                                        \
    case 7:                                                                                                            \
      return function < longestLine<6 ? 5 : 7>(plan, from, to);                                                        \
    default:                                                                                                           \
      return function<longestLine>(plan, from, to);                                                                    \
  }

void
convolveSmallOfAnyLine(const SmallPlan & plan, const float * from, float * to)
{
  IMPACT_OF_LINE(convolveSmall, plan, from, to)
}

void
convolveSmallBackOfAnyLine(const SmallPlan & plan, const float * gradient, float * to)
{
  IMPACT_OF_LINE(convolveSmallBack, plan, gradient, to)
}

} // namespace
} // namespace impact
