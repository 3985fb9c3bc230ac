#include "impact/kernels/mind_kernels.h"

#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

void
squares(const MindPlan & plan, const float * const from, const std::int32_t lines, float * to)
{
  const std::int32_t count = lines + 2 * plan.radius;
  const std::int32_t pitch = plan.pitch();
  for (std::int32_t channel = 0; channel <= plan.channels; ++channel)
  {
    const bool          isCentre = channel == plan.channels;
    const float * const a = from + (isCentre ? plan.centre : plan.first[channel]);
    const float * const b = isCentre ? nullptr : from + plan.second[channel];
    for (std::int32_t y = 0; y < count; ++y, to += pitch)
    {
      for (std::int32_t x = 0; x < pitch; x += lanes)
      {
        const std::ptrdiff_t at = y * plan.line + x;
        const Vec            value = b ? load(a + at) - load(b + at) : load(a + at);
        store(to + x, value * value);
      }
    }
  }
}

/** The mean of what lies `step` apart, in order. */
inline Vec
meanOf(const float * from, std::ptrdiff_t step, std::int32_t number)
{
  Vec sum = load(from);
  for (std::int32_t i = 1; i < number; ++i)
  {
    sum = sum + load(from + i * step);
  }
  return sum / spread(static_cast<float>(number));
}

/** The mean over the patch around each voxel of some lines. */
void
patchMeans(const MindPlan &      plan,
           const float * const * slices,
           std::ptrdiff_t        channel,
           std::int32_t          lines,
           float *               scratch,
           float *               to)
{
  const std::int32_t   diameter = 2 * plan.radius + 1;
  const std::int32_t   pitch = plan.pitch();
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(lines + 2 * plan.radius) * pitch;
  const float *        acrossSlices = slices[0] + channel * plane;
  if (plan.slices > 1)
  {
    for (std::ptrdiff_t i = 0; i < plane; i += lanes)
    {
      Vec sum = load(acrossSlices + i);
      for (std::int32_t slice = 1; slice < plan.slices; ++slice)
      {
        sum = sum + load(slices[slice] + channel * plane + i);
      }
      store(scratch + i, sum / spread(static_cast<float>(plan.slices)));
    }
    acrossSlices = scratch;
  }
  float * const        acrossLines = scratch + plane;
  const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(lines) * pitch;
  for (std::ptrdiff_t i = 0; i < count; i += lanes)
  {
    store(acrossLines + i, meanOf(acrossSlices + i, pitch, diameter));
  }
  for (std::ptrdiff_t i = 0; i < count; i += lanes)
  {
    store(to + i, meanOf(acrossLines + i, 1, diameter));
  }
}

inline Vec
lesser(Vec a, Vec b)
{
  return a < b ? a : b;
}

inline Vec
greater(Vec a, Vec b)
{
  return a > b ? a : b;
}

void
exponents(const MindPlan &      plan,
          const float * const * slices,
          const std::int32_t    lines,
          float * const         scratch,
          float * const         to)
{
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(lines) * plan.pitch();
  for (std::int32_t channel = 0; channel <= plan.channels; ++channel)
  {
    patchMeans(plan, slices, channel, lines, scratch, to + channel * plane);
  }
  const Vec number = spread(static_cast<float>(plan.channels));
  for (std::ptrdiff_t i = 0; i < plane; i += lanes)
  {
    Vec sum{};
    Vec least = load(to + i);
    for (std::int32_t channel = 0; channel < plan.channels; ++channel)
    {
      const Vec distance = load(to + channel * plane + i);
      sum = sum + distance;
      least = lesser(distance, least);
    }
    const Vec level = sum / number * spread(1e-3F);
    Vec       beyondLeast{};
    for (std::int32_t channel = 0; channel < plan.channels; ++channel)
    {
      beyondLeast = beyondLeast + (load(to + channel * plane + i) - least);
    }
    constexpr float rounding = 1.0F / (1 << 18) / (1 << 18); // (32 / 2^23)^2
    const Vec       bound = load(to + plan.channels * plane + i) * spread(rounding) + level + spread(1e-18F);
    const Vec       variance = greater(beyondLeast / number, bound);
    for (std::int32_t channel = 0; channel < plan.channels; ++channel)
    {
      float * const at = to + channel * plane + i;
      store(at, -(load(at) - least) / variance);
    }
  }
}

void
interleave(const MindPlan & plan, const float * from, const std::int32_t lines, float * to)
{
  const std::int32_t   pitch = plan.pitch();
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(lines) * pitch;
  for (std::int32_t y = 0; y < lines; ++y, from += pitch)
  {
    for (std::int32_t x = 0; x < plan.width; ++x)
    {
      for (std::int32_t channel = 0; channel < plan.channels; ++channel)
      {
        *to++ = from[channel * plane + x];
      }
    }
  }
}

} // namespace

const MindKernels IMPACT_MIND_KERNELS{ squares, exponents, interleave };

} // namespace impact
