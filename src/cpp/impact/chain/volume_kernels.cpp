#include "impact/chain/volume_kernels.h"

#include "impact/chain/small_convolutions.h"
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

constexpr int rowsAtOnce = 8;

void
multiplyRows(const float * const * rows,
             std::int32_t          taps,
             std::int32_t          in,
             const float *         weights,
             const float *         bias,
             std::int32_t          out,
             float * const *       to)
{
  for (int column = 0; column < out; column += vectorsOfColumns * lanes)
  {
    for (int first = 0; first < rowsAtOnce; first += IMPACT_ROWS)
    {
      Vec           sums[IMPACT_ROWS][vectorsOfColumns]{};
      const float * w = weights + column;
      for (int tap = 0; tap < taps; ++tap)
      {
        const float * const * const x = rows + tap * rowsAtOnce + first;
        for (int k = 0; k < in; ++k, w += out)
        {
          const Vec w0 = load(w);
          const Vec w1 = load(w + lanes);
#pragma GCC unroll 8
          for (int r = 0; r < IMPACT_ROWS; ++r)
          {
            const Vec value = spread(x[r][k]);
            sums[r][0] += value * w0;
            sums[r][1] += value * w1;
          }
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < IMPACT_ROWS; ++r)
      {
        if (to[first + r])
        {
          const Vec zero{};
          store(to[first + r] + column, sums[r][0] + (bias ? load(bias + column) : zero));
          store(to[first + r] + column + lanes, sums[r][1] + (bias ? load(bias + column + lanes) : zero));
        }
      }
    }
  }
}

/** Count voxels each of some lines one below the other. */
template <int Lines, int Count>
inline __attribute__((always_inline)) void
convolveVoxels(const LinePlan & plan, const float * from, float * to)
{
  for (int column = 0; column < plan.channels; column += vectorsOfColumns * lanes)
  {
    Vec           sums[Lines][Count][vectorsOfColumns]{};
    const float * weights = plan.weights + column;
    for (int tap = 0; tap < plan.taps; ++tap, weights += plan.channels)
    {
      const Vec           w0 = load(weights);
      const Vec           w1 = load(weights + lanes);
      const float * const x = from + plan.offsets[tap];
#pragma GCC unroll 2
      for (int l = 0; l < Lines; ++l)
      {
#pragma GCC unroll 8
        for (int r = 0; r < Count; ++r)
        {
          const Vec value = spread(x[l * plan.pitch + r]);
          sums[l][r][0] += value * w0;
          sums[l][r][1] += value * w1;
        }
      }
    }
    const Vec b0 = plan.bias ? load(plan.bias + column) : Vec{};
    const Vec b1 = plan.bias ? load(plan.bias + column + lanes) : Vec{};
#pragma GCC unroll 2
    for (int l = 0; l < Lines; ++l)
    {
#pragma GCC unroll 8
      for (int r = 0; r < Count; ++r)
      {
        float * const at = to + (l * plan.count + r) * static_cast<std::ptrdiff_t>(plan.channels) + column;
        store(at, sums[l][r][0] + b0);
        store(at + lanes, sums[l][r][1] + b1);
      }
    }
  }
}

template <int Lines>
inline void
convolveLinesTogether(const LinePlan & plan, const float * from, float * to)
{
  constexpr int block = IMPACT_ROWS < 5 ? 3 : 5;
  int           i = 0;
  for (; i + block <= plan.count; i += block)
  {
    convolveVoxels<Lines, block>(plan, from + i, to + static_cast<std::ptrdiff_t>(i) * plan.channels);
  }
  for (; i < plan.count; ++i)
  {
    convolveVoxels<Lines, 1>(plan, from + i, to + static_cast<std::ptrdiff_t>(i) * plan.channels);
  }
}

void
convolveLines(const LinePlan & plan, const float * from, std::int32_t number, float * to)
{
  constexpr int together = IMPACT_ROWS < 8 ? 1 : 2; // as many as there are registers for
  const auto    perLine = static_cast<std::ptrdiff_t>(plan.count) * plan.channels;
  int           line = 0;
  for (; line + together <= number; line += together)
  {
    convolveLinesTogether<together>(plan, from + line * plan.pitch, to + line * perLine);
  }
  for (; line < number; ++line)
  {
    convolveLinesTogether<1>(plan, from + line * plan.pitch, to + line * perLine);
  }
}

void
moments(const float * x, std::int64_t voxels, std::int32_t channels, double * mean, double * squares)
{
  using Wide = double __attribute__((vector_size(8 * IMPACT_LANES)));
  using LooseWide = double __attribute__((vector_size(8 * IMPACT_LANES), aligned(8), may_alias));
  constexpr int together = 4; // sums of voxels apart from each other, so that none waits for another
  const auto    count = static_cast<double>(voxels);
  for (int c = 0; c < channels; c += lanes)
  {
    // Around the first voxel: near enough to the mean for what is subtracted below to be small.
    const Vec     origin = load(x + c);
    Vec           sums[together]{};
    Vec           ofSquares[together]{};
    const float * at = x + c;
    std::int64_t  v = 0;
    for (; v + together <= voxels; v += together, at += together * static_cast<std::ptrdiff_t>(channels))
    {
#pragma GCC unroll 4
      for (int i = 0; i < together; ++i)
      {
        const Vec d = load(at + i * static_cast<std::ptrdiff_t>(channels)) - origin;
        sums[i] += d;
        ofSquares[i] += d * d;
      }
    }
    for (; v < voxels; ++v, at += channels)
    {
      const Vec d = load(at) - origin;
      sums[0] += d;
      ofSquares[0] += d * d;
    }
    const Wide sum = __builtin_convertvector((sums[0] + sums[1]) + (sums[2] + sums[3]), Wide);
    const Wide ofSquare = __builtin_convertvector((ofSquares[0] + ofSquares[1]) + (ofSquares[2] + ofSquares[3]), Wide);
    const Wide fromOrigin = sum / count;
    const Wide rest = ofSquare - count * fromOrigin * fromOrigin;
    *reinterpret_cast<LooseWide *>(mean + c) = __builtin_convertvector(origin, Wide) + fromOrigin;
    *reinterpret_cast<LooseWide *>(squares + c) = rest > 0.0 ? rest : Wide{};
  }
}

void
normalization(const double * mean,
              const double * squares,
              double         voxels,
              double         epsilon,
              const float *  gain,
              const float *  offset,
              std::int32_t   channels,
              float *        storage)
{
  float * const scale = storage;
  float * const shift = storage + channels;
  float * const means = storage + 2 * static_cast<std::ptrdiff_t>(channels);
  float * const inverse = storage + 3 * static_cast<std::ptrdiff_t>(channels);
  for (int c = 0; c < channels; ++c)
  {
    means[c] = static_cast<float>(mean[c]);
    inverse[c] = static_cast<float>(1.0 / __builtin_sqrt(squares[c] / voxels + epsilon));
  }
  for (int c = 0; c < channels; ++c)
  {
    scale[c] = gain[c] * inverse[c];
    shift[c] = offset[c] - means[c] * scale[c];
  }
}

void
addTaps(const float * products, const std::ptrdiff_t * offsets, std::int32_t lines, float * to)
{
  using Four = float __attribute__((vector_size(16)));
  using LooseFour = float __attribute__((vector_size(16), aligned(4), may_alias));
  using Mask = std::int32_t __attribute__((vector_size(16)));
  constexpr Mask three{ -1, -1, -1, 0 };
  for (int line = 0; line < lines; ++line)
  {
    const Four taps = *reinterpret_cast<const LooseFour *>(products + 3 * line);
    const Four masked = reinterpret_cast<Four>(reinterpret_cast<Mask>(taps) & three);
    *reinterpret_cast<LooseFour *>(to + offsets[line]) += masked;
  }
}

void
apply(const float * x, std::int64_t voxels, std::int32_t channels, const ChannelMap & map, float * to)
{
  const Vec slope = spread(map.slope);
  for (std::int64_t v = 0; v < voxels; ++v)
  {
    for (int c = 0; c < channels; c += lanes)
    {
      const Vec y = load(map.scale + c) * load(x + v * channels + c) + load(map.shift + c);
      store(to + v * channels + c, y > 0.0F ? y : slope * y);
    }
  }
}

void
applyBack(const float * x, std::int64_t voxels, std::int32_t channels, const ChannelMap & map, float * gradient)
{
  const Vec slope = spread(map.slope);
  for (int c = 0; c < channels; c += lanes)
  {
    const Vec scale = load(map.scale + c);
    const Vec shift = load(map.shift + c);
    const Vec mean = map.mean ? load(map.mean + c) : Vec{};
    const Vec inverseDeviation = map.mean ? load(map.inverseDeviation + c) : Vec{};
    Vec       sum{};
    Vec       sumWithX{};
    for (std::int64_t v = 0; v < voxels; ++v)
    {
      const Vec at = load(x + v * channels + c);
      Vec       g = load(gradient + v * channels + c);
      g = scale * at + shift > 0.0F ? g : slope * g;
      store(gradient + v * channels + c, g);
      sum += g;
      sumWithX += g * ((at - mean) * inverseDeviation);
    }
    // Instance normalisation: what moves mean and deviation moves every voxel.
    const Vec perVoxel = map.mean ? sum / static_cast<float>(voxels) : Vec{};
    const Vec perDeviation = map.mean ? sumWithX / static_cast<float>(voxels) * inverseDeviation : Vec{};
    for (std::int64_t v = 0; v < voxels; ++v)
    {
      const Vec g = load(gradient + v * channels + c) - perVoxel - (load(x + v * channels + c) - mean) * perDeviation;
      store(gradient + v * channels + c, scale * g);
    }
  }
}

/** A gradient with respect to map(x) at a voxel, taken through the rectifier. */
inline Vec
rectifiedAt(const float *      x,
            std::int32_t       channels,
            const ChannelMap & map,
            Vec                slope,
            std::int64_t       voxel,
            const float *      given,
            int                channel)
{
  const Vec at = load(x + voxel * channels + channel);
  const Vec g = load(given + channel);
  return load(map.scale + channel) * at + load(map.shift + channel) > 0.0F ? g : slope * g;
}

void
applyBackFrom(const float *        x,
              std::int64_t         voxels,
              std::int32_t         channels,
              const ChannelMap &   map,
              const std::int64_t * numbers,
              std::int32_t         count,
              const float *        given,
              float *              gradient)
{
  const Vec slope = spread(map.slope);
  for (int column = 0; column < channels; column += vectorsOfColumns * lanes)
  {
    Vec perDeviation[vectorsOfColumns];
    Vec constant[vectorsOfColumns];
    for (int vector = 0; vector < vectorsOfColumns; ++vector)
    {
      const int c = column + vector * lanes;
      const Vec mean = map.mean ? load(map.mean + c) : Vec{};
      const Vec inverseDeviation = map.mean ? load(map.inverseDeviation + c) : Vec{};
      Vec       sum{};
      Vec       sumWithX{};
      for (int i = 0; i < count; ++i)
      {
        const Vec g =
          rectifiedAt(x, channels, map, slope, numbers[i], given + static_cast<std::int64_t>(i) * channels, c);
        sum += g;
        sumWithX += g * ((load(x + numbers[i] * channels + c) - mean) * inverseDeviation);
      }
      const Vec perVoxel = load(map.scale + c) / static_cast<float>(voxels);
      perDeviation[vector] = map.mean ? perVoxel * sumWithX * inverseDeviation : Vec{};
      constant[vector] = mean * perDeviation[vector] - (map.mean ? perVoxel * sum : Vec{});
    }
    // Voxel by voxel: what is read here has to come from afar.
    for (std::int64_t v = 0; v < voxels; ++v)
    {
#pragma GCC unroll 2
      for (int vector = 0; vector < vectorsOfColumns; ++vector)
      {
        const std::int64_t place = v * channels + column + vector * lanes;
        store(gradient + place, constant[vector] - load(x + place) * perDeviation[vector]);
      }
    }
    for (int i = 0; i < count; ++i)
    {
      for (int vector = 0; vector < vectorsOfColumns; ++vector)
      {
        const int     c = column + vector * lanes;
        float * const to = gradient + numbers[i] * channels + c;
        const Vec     g =
          rectifiedAt(x, channels, map, slope, numbers[i], given + static_cast<std::int64_t>(i) * channels, c);
        store(to, load(to) + load(map.scale + c) * g);
      }
    }
  }
}

} // namespace

const VolumeKernels IMPACT_VOLUME_KERNELS{ longestLine,
                                           convolveSmallOfAnyLine,
                                           convolveSmallBackOfAnyLine,
                                           addTaps,
                                           multiplyRows,
                                           convolveLines,
                                           moments,
                                           normalization,
                                           apply,
                                           applyBackFrom,
                                           applyBack };

} // namespace impact
