#pragma once

// Numbers in IEEE half precision for the kernels: read as floats, and made of them to the nearest.

#include "impact/kernels/vectors.h"

#include <cstdint>

#if IMPACT_LANES > 4
#  include <immintrin.h>
#endif

namespace impact
{
namespace
{

inline float
number(float value)
{
  return value;
}

inline float
number(std::uint16_t half)
{
#if IMPACT_LANES > 4
  return _cvtsh_ss(half);
#else
  // The exponent's bias is larger by 112 in single precision; exact for subnormal numbers, too.
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
  float               value;
  __builtin_memcpy(&value, &magnitude, sizeof(value));
  value *= 0x1p112F;
  return half & 0x8000U ? -value : value;
#endif
}

inline std::uint16_t
halfOf(float value)
{
#if IMPACT_LANES > 4
  return static_cast<std::uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
#else
  const float magnitude = value < 0.0F ? -value : value;
  const bool  isSubnormal = magnitude < 0x1p-14F;
  // Of numbers from a half to one, the last place is that of subnormal halves.
  const float   rounded = isSubnormal ? magnitude + 0.5F : magnitude * 0x1p-112F;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &rounded, sizeof(bits));
  bits = isSubnormal ? bits - 0x3F000000U : (bits + 0xFFFU + ((bits >> 13) & 1U)) >> 13; // ties to even
  return static_cast<std::uint16_t>(bits | (__builtin_signbit(value) ? 0x8000U : 0U));   // also of -0
#endif
}

inline Vec
load(const std::uint16_t * from)
{
#if IMPACT_LANES == 16
  return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
#elif IMPACT_LANES == 8
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
#else
  Vec values;
  for (int lane = 0; lane < lanes; ++lane)
  {
    values[lane] = number(from[lane]);
  }
  return values;
#endif
}

} // namespace
} // namespace impact
