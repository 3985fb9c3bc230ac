#pragma once

#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace impact
{

/** The seed that holds when a parameter map has no RandomSeed: elastix's own default. */
constexpr std::uint64_t defaultRandomSeed = 121212;

/** Draws that are the same on every platform and for every number of threads. */
class Random
{
public:
  explicit Random(std::uint64_t seed = defaultRandomSeed)
    : m_Engine(seed)
  {}

  /** A whole number in [0, bound). */
  std::int64_t
  below(std::int64_t bound)
  {
    // The bias of the remainder is below 1e-9 for the small bounds used here.
    return static_cast<std::int64_t>(m_Engine() % static_cast<std::uint64_t>(bound));
  }

  /** `count` different whole numbers in [0, bound), in random order. */
  std::vector<std::int64_t>
  subset(std::int64_t count, std::int64_t bound)
  {
    std::vector<std::int64_t> all(static_cast<std::size_t>(bound));
    std::iota(all.begin(), all.end(), std::int64_t{ 0 });
    for (std::int64_t i = 0; i < count; ++i)
    {
      std::swap(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i + below(bound - i))]);
    }
    all.resize(static_cast<std::size_t>(count));
    return all;
  }

private:
  std::mt19937_64 m_Engine;
};

} // namespace impact
