#pragma once

// What all unit tests share: random numbers, comparisons, and the kinds of processor that this machine can run.
#include <doctest/doctest.h>

#include "impact/kernels/processor.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace impact::unit
{

/** The same kernels, compiled for a kind of processor. */
template <typename Kernels>
struct Compiled
{
  std::string     name;
  const Kernels & kernels;
};

/** Those that this machine runs, all of them where IMPACT_PROCESSOR is not set. */
template <typename Kernels, typename... Others>
std::vector<Compiled<Kernels>>
compiledFor(const Kernels & v1, const Others &... others)
{
  const std::vector<const Kernels *> of{ &v1, &others... };
  const char * const                 names[]{ "x86-64", "x86-64-v3", "x86-64-v4" };
  std::vector<Compiled<Kernels>>     all;
  for (std::size_t kind = 0; kind <= static_cast<std::size_t>(processor()); ++kind)
  {
    all.push_back({ names[kind], *of[kind] });
  }
  return all;
}

/** Numbers that are always the same, evenly distributed. */
class Numbers
{
public:
  explicit Numbers(unsigned int seed)
    : m_Engine(seed)
  {}

  double
  operator()(double low, double high)
  {
    return std::uniform_real_distribution<double>(low, high)(m_Engine);
  }

  template <typename T>
  std::vector<T>
  many(std::size_t count, double low, double high)
  {
    std::vector<T> result(count);
    for (T & value : result)
    {
      value = static_cast<T>((*this)(low, high));
    }
    return result;
  }

private:
  std::mt19937_64 m_Engine;
};

/** The largest difference, relative to the largest expected number. */
template <typename A, typename B>
double
relativeError(const std::vector<A> & found, const std::vector<B> & expected)
{
  REQUIRE(found.size() == expected.size());
  double largest = 0.0;
  double difference = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i)
  {
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    difference = std::max(difference, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
    REQUIRE(std::isfinite(static_cast<double>(found[i])));
  }
  return largest > 0.0 ? difference / largest : difference;
}

} // namespace impact::unit
