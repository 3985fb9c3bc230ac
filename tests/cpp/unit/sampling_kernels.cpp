#include "processors.h"

#include "impact/kernels/sampling_kernels.h"

#include <array>
#include <limits>

using namespace impact;
using namespace impact::unit;

namespace
{

const auto all = compiledFor(IMPACT_OF_EACH_KIND(samplingKernels));

constexpr std::int64_t size[3]{ 5, 4, 3 };
constexpr double       spacing[3]{ 1.0, 2.5, 0.8 };

FeatureGrid
gridOf(const std::vector<float> & rows, std::int64_t channels)
{
  FeatureGrid grid{ rows.data(), nullptr, channels, { size[0], size[1], size[2] }, {}, { -2.0, 4.0, 1.0 } };
  for (int i = 0; i < 3; ++i)
  {
    grid.toIndex[4 * i] = 1.0 / spacing[i];
  }
  return grid;
}

/** By the definition of linear interpolation, the nearest value beyond the outermost voxels. */
double
expectedValue(const FeatureGrid & grid, const std::vector<float> & rows, const double * point, std::int64_t channel)
{
  std::array<double, 3>       fraction{};
  std::array<std::int64_t, 3> first{};
  for (std::size_t i = 0; i < 3; ++i)
  {
    const double last = static_cast<double>(size[i]) - 1.0;
    const double index = std::min(std::max((point[i] - grid.origin[i]) / spacing[i], 0.0), last);
    first[i] = std::min(static_cast<std::int64_t>(index), size[i] - 2);
    fraction[i] = index - static_cast<double>(first[i]);
  }
  double value = 0.0;
  for (int corner = 0; corner < 8; ++corner)
  {
    const std::int64_t at[3]{ first[0] + (corner & 1), first[1] + (corner >> 1 & 1), first[2] + (corner >> 2) };
    double             weight = 1.0;
    for (std::size_t i = 0; i < 3; ++i)
    {
      weight *= corner >> i & 1 ? fraction[i] : 1.0 - fraction[i];
    }
    const std::int64_t voxel = at[0] + size[0] * (at[1] + size[1] * at[2]);
    value += weight * rows[static_cast<std::size_t>(voxel * grid.channels + channel)];
  }
  return value;
}

} // namespace

TEST_CASE("Features are interpolated linearly, whatever the number of channels")
{
  for (const std::int64_t channels : { 1, 3, 4, 16, 21, 32 })
  {
    Numbers           numbers(static_cast<unsigned int>(channels));
    const auto        rows = numbers.many<float>(static_cast<std::size_t>(60 * channels), -5.0, 5.0);
    const FeatureGrid grid = gridOf(rows, channels);
    constexpr int     count = 19;
    const auto        points = numbers.many<double>(3 * count, -4.0, 12.0); // some beyond the edges
    // All channels, and some of them in another order.
    for (const bool some : { false, true })
    {
      std::vector<std::int64_t> chosen{ channels - 1, 0 };
      const std::int64_t        wanted = some ? 2 : channels;
      std::vector<double>       expected;
      for (int n = 0; n < count; ++n)
      {
        for (std::int64_t c = 0; c < wanted; ++c)
        {
          const std::int64_t channel = some ? chosen[static_cast<std::size_t>(c)] : c;
          expected.push_back(expectedValue(grid, rows, points.data() + 3 * n, channel));
        }
      }
      for (const auto & [name, kernels] : all)
      {
        CAPTURE(name);
        CAPTURE(channels);
        CAPTURE(some);
        std::vector<float> values(expected.size());
        kernels.gather(grid, points.data(), count, some ? chosen.data() : nullptr, wanted, values.data(), nullptr);
        CHECK(relativeError(values, expected) < 1e-5);
      }
    }
  }
}

TEST_CASE("pullBackToPoints gives the slope of a weighted sum of features")
{
  constexpr std::int64_t channels = 5;
  Numbers                numbers(2);
  const auto             rows = numbers.many<float>(60 * channels, -5.0, 5.0);
  const FeatureGrid      grid = gridOf(rows, channels);
  constexpr int          count = 7;
  std::vector<double>    points;
  for (int n = 0; n < count; ++n)
  {
    for (int i = 0; i < 3; ++i)
    {
      // Away from voxels' centres, where the slope jumps.
      const double index = std::floor(numbers(0.0, static_cast<double>(size[i]) - 1.001)) + numbers(0.2, 0.8);
      points.push_back(grid.origin[i] + index * spacing[i]);
    }
  }
  const auto          weights = numbers.many<float>(count * channels, -1.0, 1.0);
  std::vector<double> expected;
  for (int n = 0; n < count; ++n)
  {
    for (std::size_t i = 0; i < 3; ++i)
    {
      std::array<double, 2> sums{};
      constexpr double      step = 1e-3;
      for (std::size_t side = 0; side < 2; ++side)
      {
        std::array<double, 3> point{ points[static_cast<std::size_t>(3 * n)],
                                     points[static_cast<std::size_t>(3 * n + 1)],
                                     points[static_cast<std::size_t>(3 * n + 2)] };
        point[i] += side == 0 ? -step : step;
        for (std::int64_t c = 0; c < channels; ++c)
        {
          sums[side] +=
            weights[static_cast<std::size_t>(n * channels + c)] * expectedValue(grid, rows, point.data(), c);
        }
      }
      expected.push_back((sums[1] - sums[0]) / (2.0 * step));
    }
  }
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<float> values(count * channels);
    std::vector<float> partials(count * 3 * channels);
    kernels.gather(grid, points.data(), count, nullptr, channels, values.data(), partials.data());
    std::vector<double> found(expected.size());
    kernels.pullBackToPoints(grid, partials.data(), weights.data(), count, channels, found.data());
    CHECK(relativeError(found, expected) < 1e-5);
  }
}

TEST_CASE("Halves are rounded to the nearest, ties to even, as IEEE has it")
{
  const std::vector<float> numbers{
    0.0F, -0.0F, 1.0F, -2.0F, 65504.0F, 1.0F + 0x1p-11F, 1.0F + 0x3p-11F, 0x1p-24F, 0x1p-26F, 0.333251953125F
  };
  const std::vector<std::uint16_t> expected{ 0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff,
                                             0x3c00, 0x3c02, 0x0001, 0x0000, 0x3555 };
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<std::uint16_t> found(numbers.size());
    kernels.halve(numbers.data(), static_cast<std::int64_t>(numbers.size()), found.data());
    CHECK(found == expected);
  }
}

TEST_CASE("What half precision cannot hold is seen, wherever it stands")
{
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    for (const std::size_t count : { 1U, 7U, 16U, 33U, 100U })
    {
      std::vector<float> numbers(count, 65504.0F);
      CHECK(kernels.fitsHalf(numbers.data(), static_cast<std::int64_t>(count)));
      for (const float bad : { 70000.0F, -1e10F, std::numeric_limits<float>::infinity(), std::nanf("") })
      {
        for (const std::size_t place : { std::size_t{ 0 }, count / 2, count - 1 })
        {
          numbers[place] = bad;
          CHECK_FALSE(kernels.fitsHalf(numbers.data(), static_cast<std::int64_t>(count)));
          numbers[place] = 1.0F;
        }
      }
    }
  }
}
