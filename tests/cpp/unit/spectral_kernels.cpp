#include "processors.h"

#include "impact/chain/spectral_kernels.h"
#include "impact/chain/spectrum.h"

#include <array>
#include <cmath>

using namespace impact;
using namespace impact::unit;

namespace
{

const auto all = compiledFor(IMPACT_OF_EACH_KIND(spectralKernels));

constexpr std::int32_t in = 32;
constexpr std::int32_t out = 32;

/** A volume, what enters it and how it is convolved: 3 taps along each axis but one of length 1, zeros around. */
struct Convolution
{
  std::array<std::int32_t, 3> size;
  std::array<std::int64_t, 3> kernel;
  std::vector<float>          input; // z, y, x, channels
  std::vector<float>          weights;
  std::vector<float>          bias;
  std::vector<float>          scale;
  std::vector<float>          shift;
  float                       slope;

  Convolution(const std::array<std::int32_t, 3> & givenSize, bool isFlat)
    : size(givenSize)
    , kernel{ 3, 3, isFlat ? 1 : 3 }
    , slope(0.1F)
  {
    Numbers numbers(static_cast<unsigned int>(size[0]));
    input = numbers.many<float>(voxels() * in, -1.0, 1.0);
    weights = numbers.many<float>(static_cast<std::size_t>(9 * kernel[2]) * in * out, -1.0, 1.0);
    bias = numbers.many<float>(out, -1.0, 1.0);
    scale = numbers.many<float>(in, 0.5, 1.5);
    shift = numbers.many<float>(in, -0.5, 0.5);
  }

  std::size_t
  voxels() const
  {
    return static_cast<std::size_t>(size[0] * size[1] * size[2]);
  }

  std::array<std::int64_t, 3>
  padding() const
  {
    return { 1, 1, kernel[2] / 2 };
  }

  double
  entered(int x, int y, int z, std::size_t channel) const
  {
    if (x < 0 || x >= size[0] || y < 0 || y >= size[1] || z < 0 || z >= size[2])
    {
      return 0.0;
    }
    const auto   voxel = static_cast<std::size_t>((z * size[1] + y) * size[0] + x);
    const double value = static_cast<double>(scale[channel]) * input[voxel * in + channel] + shift[channel];
    return value > 0.0 ? value : static_cast<double>(slope) * value;
  }

  /** By its definition, for some slices. */
  std::vector<double>
  output(int firstSlice, int endSlice) const
  {
    std::vector<double> result;
    for (int v = firstSlice * size[1] * size[0]; v < endSlice * size[1] * size[0]; ++v)
    {
      std::vector<double> sums(bias.begin(), bias.end());
      for (int tap = 0; tap < static_cast<int>(9 * kernel[2]); ++tap)
      {
        const int x = v % size[0] + tap % 3 - 1;
        const int y = v / size[0] % size[1] + tap / 3 % 3 - 1;
        const int z = v / size[0] / size[1] + tap / 9 - static_cast<int>(kernel[2] / 2);
        for (std::size_t i = 0; i < in; ++i)
        {
          const double value = entered(x, y, z, i);
          for (std::size_t o = 0; value != 0.0 && o < out; ++o)
          {
            sums[o] += value * weights[(static_cast<std::size_t>(tap) * in + i) * out + o];
          }
        }
      }
      result.insert(result.end(), sums.begin(), sums.end());
    }
    return result;
  }
};

} // namespace

TEST_CASE("A transformed convolution is what it is by definition, for each length and for some slices of a volume")
{
  for (const bool isFlat : { false, true })
  {
    for (const std::int32_t length : { 4, 6, 8, 10, 12 })
    {
      // One tile that covers a volume with a voxel of zeros; the axes differ in length.
      const std::array<std::int32_t, 3> size{ length - 1, 4, isFlat ? 1 : 5 };
      const Convolution                 convolution(size, isFlat);
      const SpectrumShape               shape = SpectrumShape::of({ length, 6, isFlat ? 1 : 6 });
      const SpectrumTaps taps{ convolution.weights.data(), convolution.kernel, convolution.padding(), in * out };
      std::vector<float> weights(numbersOfSpectrum(shape, taps));
      SpectralPlan       plan = shape.plan();
      plan.channelsIn = in;
      plan.channelsOut = out;
      plan.weights = weights.data();
      plan.bias = convolution.bias.data();
      const SpectralEntry entry{ convolution.scale.data(), convolution.shift.data(), convolution.slope };

      // The last slices alone, as if there were no room for the others.
      const int          firstSlice = isFlat ? 0 : 2;
      const auto         expected = convolution.output(firstSlice, size[2]);
      std::vector<float> workspace(workspaceFloats(plan, 1) + 16);
      const auto         address = reinterpret_cast<std::uintptr_t>(workspace.data());
      float * const      aligned = workspace.data() + (64 - address % 64) % 64 / sizeof(float);
      for (const auto & [name, kernels] : all)
      {
        CAPTURE(name);
        CAPTURE(length);
        CAPTURE(isFlat);
        spectrumOf(shape, taps, false, kernels, weights.data());
        std::vector<float> found(expected.size());
        const SpectralTile tile{
          convolution.input.data(),     found.data(), firstSlice, { 0, 0, 0 }, { 0, 0, firstSlice },
          { size[0], size[1], size[2] }
        };
        kernels.convolve(plan, size.data(), &tile, &entry, 1, aligned);
        CHECK(relativeError(found, expected) < 2e-6);
      }
    }
  }
}

TEST_CASE("The frequencies of a tile and their conjugates are all there are")
{
  for (const auto & length : { std::array{ 4, 6, 8 }, std::array{ 12, 4, 1 }, std::array{ 10, 10, 10 } })
  {
    const SpectrumShape shape = SpectrumShape::of({ length[0], length[1], length[2] });
    // A real tile of n voxels is made into n numbers.
    const auto complex = static_cast<int>(shape.frequencies.size()) - shape.realCount;
    CHECK(shape.realCount + 2 * complex == length[0] * length[1] * length[2]);
  }
}
