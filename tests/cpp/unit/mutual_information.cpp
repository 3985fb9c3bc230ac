#include "processors.h"

#include "impact/kernels/mutual_information.h"

#include <array>
#include <limits>

using namespace impact;
using namespace impact::unit;

namespace
{

struct Pair
{
  std::vector<float> fixed;
  std::vector<float> moving;
};

/** Intensities that have to do with each other, though not by a line. */
Pair
related(std::size_t count)
{
  Numbers numbers(11);
  Pair    pair{ numbers.many<float>(count, -40.0, 160.0), {} };
  for (const float f : pair.fixed)
  {
    pair.moving.push_back(static_cast<float>(0.002 * f * f + numbers(0.0, 12.0)));
  }
  return pair;
}

constexpr IntensityRange ofFixed{ -40.0, 160.0 };
constexpr IntensityRange ofMoving{ 0.0, 63.2 };

/** The cubic B-spline by its pieces, not by the polynomials that the histogram takes. */
double
spline(double t)
{
  const double x = std::abs(t);
  const double y = 2.0 - x;
  return x >= 2.0 ? 0.0 : x >= 1.0 ? y * y * y / 6.0 : 2.0 / 3.0 - x * x + 0.5 * x * x * x;
}

/** From the definition: H(f) + H(m) - H(f, m), every bin asked for every sample, and bins as elastix places them. */
double
expected(const Pair & pair)
{
  constexpr int bins = 32;
  const auto    place = [](double value, const IntensityRange & range, int padding) {
    const double extent = 1.02 * (range.most - range.least);
    const double small = 0.001 * extent / (bins - 2 * padding - 1);
    const double bin = (extent + 2.0 * small) / (bins - 2 * padding - 1);
    return padding + (value - (range.least - 0.01 * (range.most - range.least) - small)) / bin;
  };
  std::array<double, bins>                   fixed{};
  std::array<double, bins>                   moving{};
  std::array<std::array<double, bins>, bins> joint{};
  const auto                                 count = static_cast<double>(pair.fixed.size());
  for (std::size_t s = 0; s < pair.fixed.size(); ++s)
  {
    const auto   f = static_cast<std::size_t>(std::lround(place(static_cast<double>(pair.fixed[s]), ofFixed, 0)));
    const double t = place(static_cast<double>(pair.moving[s]), ofMoving, 1);
    for (std::size_t m = 0; m < bins; ++m)
    {
      const double part = spline(static_cast<double>(m) - t) / count;
      joint[f][m] += part;
      fixed[f] += part;
      moving[m] += part;
    }
  }
  const auto entropy = [](const auto & p) {
    double sum = 0.0;
    for (const double value : p)
    {
      sum -= value > 0.0 ? value * std::log(value) : 0.0;
    }
    return sum;
  };
  double sum = entropy(fixed) + entropy(moving);
  for (const auto & row : joint)
  {
    sum -= entropy(row);
  }
  return sum;
}

} // namespace

TEST_CASE("Mutual information is that of its definition")
{
  Workers           workers(2);
  MutualInformation information(ofFixed, ofMoving);
  for (const std::size_t count : { 1U, 7U, 500U, 2000U, 20000U })
  {
    const Pair   pair = related(count);
    const double found = information.evaluate(pair.fixed.data(), pair.moving.data(), count, nullptr, workers);
    CHECK(found == doctest::Approx(expected(pair)).epsilon(1e-9));
  }
  CHECK(expected(related(2000)) > 0.5);
}

TEST_CASE("The derivative of mutual information is that of differences")
{
  Workers             workers(2);
  MutualInformation   information(ofFixed, ofMoving);
  Pair                pair = related(300);
  std::vector<double> derivative(300);
  information.evaluate(pair.fixed.data(), pair.moving.data(), 300, derivative.data(), workers);
  std::vector<double> differences;
  for (float & intensity : pair.moving)
  {
    const float was = intensity;
    const auto  value = [&](float step) {
      intensity = was + step;
      return information.evaluate(pair.fixed.data(), pair.moving.data(), 300, nullptr, workers);
    };
    const float step = 0.015625F;
    differences.push_back((value(step) - value(-step)) / (2.0 * static_cast<double>(step)));
    intensity = was;
  }
  CHECK(relativeError(derivative, differences) < 1e-3);
}

TEST_CASE("Mutual information is the same to the bit for every number of threads")
{
  const Pair          pair = related(20000);
  std::vector<double> first(20000);
  double              value = 0.0;
  for (const int threads : { 1, 2, 5 })
  {
    Workers             workers(threads);
    MutualInformation   information(ofFixed, ofMoving);
    std::vector<double> derivative(20000);
    const double found = information.evaluate(pair.fixed.data(), pair.moving.data(), 20000, derivative.data(), workers);
    if (threads == 1)
    {
      value = found;
      first = derivative;
    }
    CHECK(found == value);
    CHECK(derivative == first);
  }
}

TEST_CASE("Intensities beyond the range, none at all and images of one intensity")
{
  Workers           workers(1);
  MutualInformation information(ofFixed, ofMoving);
  const float       none = std::numeric_limits<float>::quiet_NaN();
  Pair              pair = related(100);
  pair.moving[3] = 1e9F;
  pair.moving[4] = -1e9F;
  pair.moving[5] = none;
  pair.fixed[6] = 1e9F;
  pair.fixed[7] = none;
  std::vector<double> derivative(100);
  CHECK(std::isfinite(information.evaluate(pair.fixed.data(), pair.moving.data(), 100, derivative.data(), workers)));
  for (const std::size_t s : { 3U, 4U, 5U })
  {
    CHECK(derivative[s] == 0.0);
  }
  CHECK(information.evaluate(pair.fixed.data(), pair.moving.data(), 0, derivative.data(), workers) == 0.0);

  MutualInformation        ofOne(ofFixed, { 5.0, 5.0 });
  const std::vector<float> same(100, 5.0F);
  CHECK(ofOne.evaluate(pair.fixed.data(), same.data(), 100, derivative.data(), workers) ==
        doctest::Approx(0.0).epsilon(1e-12));
  for (const double d : derivative)
  {
    CHECK(std::abs(d) < 1e-12);
  }
}
