#include "impact/chain/spectral_kernels.h"

#include "impact/chain/small_transforms.h"
#include "impact/chain/spectral_products.h"
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

/** One tile, one vector of channels, on its way through the transforms: [kx][z][y]. */
struct TileBuffer
{
  Complex *    values;
  std::int32_t ny;
  std::int32_t nz;

  Complex *
  at(int kx, int z, int y) const
  {
    return values + (kx * nz + z) * ny + y;
  }
};

/** Which voxels of a tile, along an axis, lie in the volume. */
struct Range
{
  int begin;
  int end;
};

inline Range
insideVolume(int begin, int length, int size)
{
  return { begin < 0 ? -begin : 0, size - begin < length ? size - begin : length };
}

template <int N>
void
enterAlongX(const SpectralPlan &  plan,
            const std::int32_t *  size,
            const SpectralTile &  tile,
            const SpectralEntry & entry,
            int                   channel,
            const TileBuffer &    buffer)
{
  const Vec  scale = entry.scale ? load(entry.scale + channel) : spread(1.0F);
  const Vec  shift = entry.scale ? load(entry.shift + channel) : Vec{};
  const Vec  slope = spread(entry.slope);
  const bool enters = entry.scale != nullptr;
  const auto [first, last] = insideVolume(tile.begin[0], N, size[0]);
  for (int z = 0; z < buffer.nz; ++z)
  {
    const int inputZ = tile.begin[2] + z;
    for (int y = 0; y < buffer.ny; ++y)
    {
      const int inputY = tile.begin[1] + y;
      if (inputZ < 0 || inputZ >= size[2] || inputY < 0 || inputY >= size[1])
      {
        for (int k = 0; k <= N / 2; ++k)
        {
          *buffer.at(k, z, y) = Complex{};
        }
        continue;
      }
      const std::ptrdiff_t line =
        ((static_cast<std::ptrdiff_t>(inputZ) * size[1] + inputY) * size[0] + tile.begin[0]) * plan.channelsIn +
        channel;
      Vec x[N];
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        x[i] = Vec{};
        if (i >= first && i < last)
        {
          x[i] = load(tile.input + (line + static_cast<std::ptrdiff_t>(i) * plan.channelsIn));
          if (enters)
          {
            x[i] = scale * x[i] + shift;
            x[i] = x[i] > 0.0F ? x[i] : slope * x[i];
          }
        }
      }
      Complex k[N / 2 + 1];
      transformReal<N>(x, k);
#pragma GCC unroll 8
      for (int i = 0; i <= N / 2; ++i)
      {
        *buffer.at(i, z, y) = k[i];
      }
    }
  }
}

template <int N>
void
leaveAlongX(const SpectralPlan & plan,
            const std::int32_t * size,
            const SpectralTile & tile,
            int                  channel,
            const TileBuffer &   buffer)
{
  const Vec            bias = plan.bias ? load(plan.bias + channel) : Vec{};
  const int            begin = tile.keep[0];
  const int            end = tile.keepEnd[0];
  const int            endOfY = tile.keepEnd[1];
  const int            endOfZ = tile.keepEnd[2];
  const std::ptrdiff_t step = plan.channelsOut;
  const std::ptrdiff_t stepOfY = size[0] * step;
  const std::ptrdiff_t stepOfZ = size[1] * stepOfY;
  const std::ptrdiff_t first =
    (tile.begin[2] - tile.firstSlice) * stepOfZ + tile.begin[1] * stepOfY + tile.begin[0] * step + channel;
  for (int z = tile.keep[2]; z < endOfZ; ++z)
  {
    for (int y = tile.keep[1]; y < endOfY; ++y)
    {
      Complex k[N / 2 + 1];
#pragma GCC unroll 8
      for (int i = 0; i <= N / 2; ++i)
      {
        k[i] = *buffer.at(i, z, y);
      }
      Vec x[N];
      transformToReal<N>(k, x);
      const std::ptrdiff_t line = first + z * stepOfZ + y * stepOfY;
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        if (i >= begin && i < end)
        {
          store(tile.output + (line + i * step), x[i] + bias);
        }
      }
    }
  }
}

/** Where a frequency along x is its own conjugate, what is along y and z is that of real numbers: half of it says all.
 */
inline bool
isOwnConjugate(int k, int length)
{
  return k == 0 || 2 * k == length;
}

/** Along y, for the z in [begin, end). */
template <int N, int Sign>
void
alongY(const TileBuffer & buffer, int lengthOfX, int begin, int end)
{
  for (int kx = 0; kx <= lengthOfX / 2; ++kx)
  {
    const bool isReal = isOwnConjugate(kx, lengthOfX);
    for (int z = begin; z < end; ++z)
    {
      Complex * const line = buffer.at(kx, z, 0);
      if (isReal)
      {
        Vec     x[N];
        Complex k[N / 2 + 1];
        if (Sign < 0)
        {
#pragma GCC unroll 12
          for (int i = 0; i < N; ++i)
          {
            x[i] = line[i].re;
          }
          transformReal<N>(x, k);
#pragma GCC unroll 8
          for (int i = 0; i <= N / 2; ++i)
          {
            line[i] = k[i];
          }
        }
        else
        {
#pragma GCC unroll 8
          for (int i = 0; i <= N / 2; ++i)
          {
            k[i] = line[i];
          }
          transformToReal<N>(k, x);
#pragma GCC unroll 12
          for (int i = 0; i < N; ++i)
          {
            line[i] = { x[i], Vec{} };
          }
        }
        continue;
      }
      Complex x[N];
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        x[i] = line[i];
      }
      transform<N, Sign>(x);
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        line[i] = x[i];
      }
    }
  }
}

/** Along z, and into the rows that are multiplied. */
template <int N>
void
alongZToRows(const SpectralPlan & plan, const TileBuffer & buffer, int channel, int row, int rows, float * in)
{
  const std::int32_t * slot = plan.slots;
  const auto           pitch = static_cast<std::ptrdiff_t>(rows) * plan.channelsIn;
  for (int kx = 0; kx <= plan.length[0] / 2; ++kx)
  {
    const int end = isOwnConjugate(kx, plan.length[0]) ? buffer.ny / 2 + 1 : buffer.ny;
    for (int ky = 0; ky < end; ++ky)
    {
      Complex x[N];
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        x[i] = *buffer.at(kx, i, ky);
      }
      if constexpr (N > 1)
      {
        transform<N, -1>(x);
      }
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        if (slot[i] >= 0)
        {
          float * const to =
            in + slot[i] * frequencyPitch(2 * pitch) + static_cast<std::ptrdiff_t>(row) * plan.channelsIn + channel;
          store(to, x[i].re);
          store(to + pitch, x[i].im);
        }
      }
      slot += N;
    }
    slot += (buffer.ny - end) * N;
  }
}

template <int N>
void
alongZFromRows(const SpectralPlan & plan, const TileBuffer & buffer, int channel, int row, int rows, const float * out)
{
  const std::int32_t * slot = plan.slots;
  const auto           pitch = static_cast<std::ptrdiff_t>(rows) * plan.channelsOut;
  for (int kx = 0; kx <= plan.length[0] / 2; ++kx)
  {
    const int end = isOwnConjugate(kx, plan.length[0]) ? buffer.ny / 2 + 1 : buffer.ny;
    for (int ky = 0; ky < end; ++ky)
    {
      Complex x[N];
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        const bool          own = slot[i] >= 0;
        const int           number = own ? slot[i] : -1 - slot[i];
        const float * const from =
          out + number * frequencyPitch(2 * pitch) + static_cast<std::ptrdiff_t>(row) * plan.channelsOut + channel;
        x[i].re = load(from);
        x[i].im = own ? load(from + pitch) : -load(from + pitch);
      }
      if constexpr (N > 1)
      {
        transform<N, 1>(x);
      }
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i)
      {
        *buffer.at(kx, i, ky) = x[i];
      }
      slot += N;
    }
    slot += (buffer.ny - end) * N;
  }
}

/** Calls a template of the length of an axis. */
#define IMPACT_OF_LENGTH(length, call)                                                                                 \
  switch (length)                                                                                                      \
  {                                                                                                                    \
    case 4:                                                                                                            \
    {                                                                                                                  \
      constexpr int N = 4;                                                                                             \
      call;                                                                                                            \
      break;                                                                                                           \
    }                                                                                                                  \
    case 6:                                                                                                            \
    {                                                                                                                  \
      constexpr int N = 6;                                                                                             \
      call;                                                                                                            \
      break;                                                                                                           \
    }                                                                                                                  \
    case 8:                                                                                                            \
    {                                                                                                                  \
      constexpr int N = 8;                                                                                             \
      call;                                                                                                            \
      break;                                                                                                           \
    }                                                                                                                  \
    case 10:                                                                                                           \
    {                                                                                                                  \
      constexpr int N = 10;                                                                                            \
      call;                                                                                                            \
      break;                                                                                                           \
    }                                                                                                                  \
    default:                                                                                                           \
    {                                                                                                                  \
      constexpr int N = 12;                                                                                            \
      call;                                                                                                            \
      break;                                                                                                           \
    }                                                                                                                  \
  }

void
convolve(const SpectralPlan &  plan,
         const std::int32_t *  size,
         const SpectralTile *  tiles,
         const SpectralEntry * entries,
         std::int32_t          count,
         float *               workspace)
{
  const int     rows = (count + 7) / 8 * 8;
  float * const in = workspace;
  float * const out = in + plan.numberOfFrequencies * frequencyPitch(std::ptrdiff_t{ 2 } * rows * plan.channelsIn);
  float * const sums = out + plan.numberOfFrequencies * frequencyPitch(std::ptrdiff_t{ 2 } * rows * plan.channelsOut);
  const TileBuffer buffer{ reinterpret_cast<Complex *>(sums + static_cast<std::ptrdiff_t>(rows) * plan.channelsIn),
                           plan.length[1],
                           plan.length[2] };

  for (int t = 0; t < rows; ++t)
  {
    const int   tile = t < count ? t : count - 1; // rows without a tile repeat the last one
    const Range inside = insideVolume(tiles[tile].begin[2], buffer.nz, size[2]);
    for (int channel = 0; channel < plan.channelsIn; channel += lanes)
    {
      IMPACT_OF_LENGTH(plan.length[0], enterAlongX<N>(plan, size, tiles[tile], entries[tile], channel, buffer));
      IMPACT_OF_LENGTH(plan.length[1], (alongY<N, -1>(buffer, plan.length[0], inside.begin, inside.end)));
      if (plan.length[2] == 1)
      {
        alongZToRows<1>(plan, buffer, channel, t, rows, in);
      }
      else
      {
        IMPACT_OF_LENGTH(plan.length[2], alongZToRows<N>(plan, buffer, channel, t, rows, in));
      }
    }
  }
  multiply(plan, rows, in, sums, out);
  for (int t = 0; t < count; ++t)
  {
    for (int channel = 0; channel < plan.channelsOut; channel += lanes)
    {
      if (plan.length[2] == 1)
      {
        alongZFromRows<1>(plan, buffer, channel, t, rows, out);
      }
      else
      {
        IMPACT_OF_LENGTH(plan.length[2], alongZFromRows<N>(plan, buffer, channel, t, rows, out));
      }
      IMPACT_OF_LENGTH(plan.length[1], (alongY<N, 1>(buffer, plan.length[0], tiles[t].keep[2], tiles[t].keepEnd[2])));
      IMPACT_OF_LENGTH(plan.length[0], leaveAlongX<N>(plan, size, tiles[t], channel, buffer));
    }
  }
}

using Doubles = double __attribute__((vector_size(64)));
using Rounded = float __attribute__((vector_size(32)));
constexpr int numbersOfDoubles = 8;
constexpr int vectorsAtOnce = weightsAtOnce / numbersOfDoubles;

void
transformTaps(const SpectralTaps & taps, std::ptrdiff_t first)
{
  const std::ptrdiff_t left = taps.perTap - first;
  const std::ptrdiff_t count = left < weightsAtOnce ? left : weightsAtOnce;
  Doubles              x[27][vectorsAtOnce];
  for (int t = 0; t < taps.taps; ++t)
  {
    const float * const from = taps.weights + t * taps.perTap + first;
    for (int i = 0; i < weightsAtOnce; ++i)
    {
      x[t][i / numbersOfDoubles][i % numbersOfDoubles] = i < count ? static_cast<double>(from[i]) : 0.0;
    }
  }
  const double * wave = taps.waves;
  for (std::int32_t f = 0; f < taps.frequencies; ++f)
  {
    Doubles parts[2][vectorsAtOnce]{};
    for (int t = 0; t < taps.taps; ++t, wave += 2)
    {
#pragma GCC unroll 4
      for (int i = 0; i < vectorsAtOnce; ++i)
      {
        parts[0][i] += wave[0] * x[t][i];
        parts[1][i] += wave[1] * x[t][i];
      }
    }
    for (int part = 0; part < 2; ++part)
    {
      Rounded rounded[vectorsAtOnce];
      for (int i = 0; i < vectorsAtOnce; ++i)
      {
        rounded[i] = __builtin_convertvector(parts[part][i], Rounded);
      }
      __builtin_memcpy(
        taps.to + (2 * f + part) * taps.perTap + first, rounded, static_cast<std::size_t>(count) * sizeof(float));
    }
  }
}

} // namespace

const SpectralKernels IMPACT_SPECTRAL_KERNELS{ convolve, transformTaps };

} // namespace impact
