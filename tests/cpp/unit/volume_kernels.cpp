#include "processors.h"

#include "impact/chain/volume_kernels.h"

#include <algorithm>
#include <array>

using namespace impact;
using namespace impact::unit;

namespace
{

const auto all = compiledFor(IMPACT_OF_EACH_KIND(volumeKernels));

constexpr std::int32_t channels = 32;

/** A 3 x 3 x depth convolution of one channel with zeros around it, by its definition. Taps x fastest. */
std::vector<double>
convolved(const SmallPlan & plan, const std::vector<float> & from)
{
  const auto [nx, ny, nz] = std::array{ plan.size[0], plan.size[1], plan.size[2] };
  std::vector<double> to;
  for (int z = 0; z < nz; ++z)
  {
    for (int y = 0; y < ny; ++y)
    {
      for (int x = 0; x < nx; ++x)
      {
        for (int c = 0; c < plan.channels; ++c)
        {
          double sum = plan.bias ? plan.bias[c] : 0.0;
          int    tap = 0;
          for (int dz = 0; dz < plan.depth; ++dz)
          {
            for (int dy = -1; dy <= 1; ++dy)
            {
              for (int dx = -1; dx <= 1; ++dx, ++tap)
              {
                const int at[3]{ x + dx, y + dy, z + dz - plan.depth / 2 };
                if (at[0] >= 0 && at[0] < nx && at[1] >= 0 && at[1] < ny && at[2] >= 0 && at[2] < nz)
                {
                  sum += static_cast<double>(from[static_cast<std::size_t>(at[0] + nx * (at[1] + ny * at[2]))]) *
                         plan.weights[tap * plan.channels + c];
                }
              }
            }
          }
          to.push_back(sum);
        }
      }
    }
  }
  return to;
}

} // namespace

TEST_CASE("Small convolutions are what they are by definition, and their way back is the transposed")
{
  for (const auto & [name, kernels] : all)
  {
    for (std::int32_t nx = 2; nx <= kernels.longestLine; ++nx)
    {
      for (const std::int32_t depth : { 3, 1 })
      {
        Numbers         numbers(static_cast<unsigned int>(nx));
        const auto      weights = numbers.many<float>(static_cast<std::size_t>(9 * depth * channels), -1.0, 1.0);
        const auto      bias = numbers.many<float>(channels, -1.0, 1.0);
        const SmallPlan plan{ { nx, 4, depth == 1 ? 1 : 3 }, depth, weights.data(), bias.data(), channels };
        const auto      voxels = static_cast<std::size_t>(plan.size[0] * plan.size[1] * plan.size[2]);
        const auto      from = numbers.many<float>(voxels, -1.0, 1.0);
        CAPTURE(name);
        CAPTURE(nx);
        CAPTURE(depth);
        std::vector<float> to(voxels * channels);
        kernels.convolveSmall(plan, from.data(), to.data());
        CHECK(relativeError(to, convolved(plan, from)) < 1e-5);

        const auto         gradient = numbers.many<float>(voxels * channels, -1.0, 1.0);
        std::vector<float> back(voxels);
        kernels.convolveSmallBack(plan, gradient.data(), back.data());
        SmallPlan withoutBias = plan;
        withoutBias.bias = nullptr;
        const auto forth = convolved(withoutBias, from);
        double     ofGradient = 0.0;
        double     size = 0.0;
        for (std::size_t i = 0; i < forth.size(); ++i)
        {
          ofGradient += forth[i] * gradient[i];
          size += std::abs(forth[i] * gradient[i]);
        }
        double ofBack = 0.0;
        for (std::size_t i = 0; i < voxels; ++i)
        {
          ofBack += static_cast<double>(back[i]) * from[i];
        }
        CHECK(std::abs(ofGradient - ofBack) < 1e-5 * size);
      }
    }
  }
}

TEST_CASE("Lines of a convolution of one channel are what they are by definition")
{
  for (const auto & [name, kernels] : all)
  {
    for (const std::int32_t nx : { 1, 2, 3, 5, 7, 13 })
    {
      // 3 x 3 x 3 taps, two voxels apart along y.
      constexpr std::int32_t   ny = 5;
      const std::ptrdiff_t     pitch = nx + 2;
      const std::ptrdiff_t     slice = pitch * (ny + 4);
      std::vector<ptrdiff_t>   offsets;
      Numbers                  numbers(static_cast<unsigned int>(nx));
      const auto               weights = numbers.many<float>(27 * channels, -1.0, 1.0);
      const auto               bias = numbers.many<float>(channels, -1.0, 1.0);
      const std::vector<float> from = numbers.many<float>(static_cast<std::size_t>(3 * slice), -1.0, 1.0);
      for (std::ptrdiff_t tap = 0; tap < 27; ++tap)
      {
        offsets.push_back(tap / 9 * slice + tap / 3 % 3 * 2 * pitch + tap % 3);
      }
      std::vector<double> expected;
      for (std::ptrdiff_t v = 0; v < ny * nx; ++v)
      {
        for (std::size_t c = 0; c < channels; ++c)
        {
          double sum = bias[c];
          for (std::size_t tap = 0; tap < 27; ++tap)
          {
            const std::ptrdiff_t at = v / nx * pitch + v % nx + offsets[tap];
            sum += static_cast<double>(from[static_cast<std::size_t>(at)]) * weights[tap * channels + c];
          }
          expected.push_back(sum);
        }
      }
      CAPTURE(name);
      CAPTURE(nx);
      std::vector<float> to(expected.size());
      kernels.convolveLines(
        { nx, pitch, offsets.data(), 27, weights.data(), bias.data(), channels }, from.data(), ny, to.data());
      CHECK(relativeError(to, expected) < 1e-5);
    }
  }
}

TEST_CASE("Taps are added to where they belong, and nothing else is")
{
  for (const auto & [name, kernels] : all)
  {
    Numbers                           numbers(3);
    const std::vector<float>          products = numbers.many<float>(10, -1.0, 1.0);
    const std::vector<float>          before = numbers.many<float>(40, -1.0, 1.0);
    const std::vector<std::ptrdiff_t> offsets{ 2, 11, 30 };
    std::vector<float>                expected = before;
    for (std::size_t i = 0; i < 9; ++i)
    {
      expected[static_cast<std::size_t>(offsets[i / 3]) + i % 3] += products[i];
    }
    CAPTURE(name);
    std::vector<float> to = before;
    kernels.addTaps(products.data(), offsets.data(), 3, to.data());
    CHECK(to == expected);
  }
}

TEST_CASE("Rows are multiplied with the weights of every tap")
{
  constexpr std::int32_t     taps = 3;
  constexpr std::int32_t     in = 32;
  constexpr std::int32_t     out = 64;
  Numbers                    numbers(4);
  const auto                 voxels = numbers.many<float>(8 * taps * in, -1.0, 1.0);
  const auto                 weights = numbers.many<float>(taps * in * out, -1.0, 1.0);
  const auto                 bias = numbers.many<float>(out, -1.0, 1.0);
  std::vector<const float *> rows;
  for (std::size_t row = 0; row < 8 * taps; ++row)
  {
    rows.push_back(voxels.data() + row * in);
  }
  std::vector<double> expected;
  for (std::size_t voxel = 0; voxel < 8; ++voxel)
  {
    for (std::size_t c = 0; c < out; ++c)
    {
      double sum = bias[c];
      for (std::size_t tap = 0; tap < taps; ++tap)
      {
        for (std::size_t k = 0; k < in; ++k)
        {
          sum += static_cast<double>(rows[8 * tap + voxel][k]) * weights[(tap * in + k) * out + c];
        }
      }
      expected.push_back(sum);
    }
  }
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<float>     found(8 * out, 0.0F);
    std::array<float *, 8> to{};
    for (std::size_t voxel = 0; voxel < 8; ++voxel)
    {
      to[voxel] = voxel == 5 ? nullptr : found.data() + voxel * out; // one is not wanted
    }
    kernels.multiplyRows(rows.data(), taps, in, weights.data(), bias.data(), out, to.data());
    auto wanted = expected;
    std::fill_n(wanted.begin() + 5 * out, out, 0.0);
    CHECK(relativeError(found, wanted) < 1e-5);
  }
}

TEST_CASE("Moments are mean and squared differences from it, also far from zero")
{
  constexpr std::int64_t voxels = 75;
  Numbers                numbers(9);
  auto                   x = numbers.many<float>(voxels * channels, 900.0, 901.0);
  std::vector<double>    means;
  std::vector<double>    squares;
  for (std::size_t c = 0; c < channels; ++c)
  {
    double mean = 0.0;
    for (std::size_t n = 0; n < voxels; ++n)
    {
      mean += x[n * channels + c] / static_cast<double>(voxels);
    }
    double square = 0.0;
    for (std::size_t n = 0; n < voxels; ++n)
    {
      square += std::pow(x[n * channels + c] - mean, 2);
    }
    means.push_back(mean);
    squares.push_back(square);
  }
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<double> foundMeans(channels);
    std::vector<double> foundSquares(channels);
    kernels.moments(x.data(), voxels, channels, foundMeans.data(), foundSquares.data());
    CHECK(relativeError(foundMeans, means) < 1e-7);
    CHECK(relativeError(foundSquares, squares) < 1e-3);
  }
}

TEST_CASE("A map of channels is scale, shift and rectifier, and its way back has their slope")
{
  constexpr std::int64_t voxels = 11;
  Numbers                numbers(1);
  const auto             x = numbers.many<float>(voxels * channels, -1.0, 1.0);
  const auto             scale = numbers.many<float>(channels, 0.5, 2.0);
  const auto             shift = numbers.many<float>(channels, -0.5, 0.5);
  const ChannelMap       map{ scale.data(), shift.data(), nullptr, nullptr, 0.01F };
  const auto             gradient = numbers.many<float>(voxels * channels, -1.0, 1.0);
  std::vector<double>    expected;
  std::vector<double>    expectedBack;
  for (std::size_t i = 0; i < x.size(); ++i)
  {
    const std::size_t c = i % channels;
    const double      raw = static_cast<double>(scale[c]) * x[i] + shift[c];
    const double      slope = raw < 0.0 ? 0.01 : 1.0;
    expected.push_back(slope * raw);
    expectedBack.push_back(slope * scale[c] * gradient[i]);
  }
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<float> found(x.size());
    kernels.apply(x.data(), voxels, channels, map, found.data());
    CHECK(relativeError(found, expected) < 1e-6);
    std::vector<float> inPlace = x;
    kernels.apply(inPlace.data(), voxels, channels, map, inPlace.data());
    CHECK(inPlace == found);
    std::vector<float> back = gradient;
    kernels.applyBack(x.data(), voxels, channels, map, back.data());
    CHECK(relativeError(back, expectedBack) < 1e-6);
  }
}
