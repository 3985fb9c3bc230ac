#pragma once

// Vectors of floats for the kernels. IMPACT_LANES: floats in a vector; IMPACT_ROWS: rows that go through a
// multiplication at once, so that their sums fit into the registers (a divisor of 8).

namespace impact
{
namespace
{

constexpr int lanes = IMPACT_LANES;

using Vec = float __attribute__((vector_size(4 * IMPACT_LANES)));
using Loose = float __attribute__((vector_size(4 * IMPACT_LANES), aligned(4), may_alias));

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

/** All lanes alike. The difference, unlike a sum, is folded away: x - 0 is x even for -0. */
inline Vec
spread(float value)
{
  return value - Vec{};
}

/** Channels that one column of a multiplication covers: two vectors. */
constexpr int vectorsOfColumns = 2;

} // namespace
} // namespace impact
