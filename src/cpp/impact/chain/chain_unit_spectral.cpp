#include "impact/chain/chain_unit.h"

#include <algorithm>
#include <cmath>

namespace impact
{

const ConvolutionUnit::Spectrum &
ConvolutionUnit::spectrum(const Size & size, bool backward) const
{
  // The weights of long transforms of many channels would fill the memory: they get tiles.
  const std::int64_t          longest = bytesOfSpectrum(12) <= mostBytes ? 12 : tileLength;
  std::array<std::int32_t, 3> length{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    // One tile with room for a voxel of zeros, the padding of both sides at once; larger volumes in tiles that overlap.
    const std::int64_t whole = std::max<std::int64_t>(4, (size[axis] + 2) / 2 * 2);
    length[axis] = m_Unit.kernel[axis] == 1 ? 1 : whole <= longest ? static_cast<std::int32_t>(whole) : tileLength;
  }
  const std::lock_guard<std::mutex> lock(m_Mutex);
  Spectrum &                        result = m_Spectra[{ length, backward }];
  if (result.count > 0)
  {
    return result;
  }
  const int nx = length[0];
  const int ny = length[1];
  const int nz = length[2];
  result.length = length;
  std::vector<std::array<int, 3>> frequencies;
  const auto place = [ny, nz](int x, int y, int z) { return static_cast<std::size_t>((x * ny + y) * nz + z); };
  // In the planes of kx = 0 and n / 2 the conjugate of a frequency lies in the same plane; its own, where all are such.
  const auto conjugateOf = [&](int x, int y, int z) {
    return x == 0 || x == nx / 2 ? place(x, (ny - y) % ny, (nz - z) % nz) : std::size_t(-1);
  };
  result.slots.resize(place(nx / 2 + 1, 0, 0));
  for (const bool real : { true, false })
  {
    for (int x = 0; x <= nx / 2; ++x)
    {
      for (int y = 0; y < ny; ++y)
      {
        for (int z = 0; z < nz; ++z)
        {
          const std::size_t here = place(x, y, z);
          const std::size_t conjugate = conjugateOf(x, y, z);
          if (real != (conjugate == here))
          {
            continue;
          }
          if (conjugate < here)
          {
            result.slots[here] = -1 - result.slots[conjugate];
          }
          else
          {
            result.slots[here] = static_cast<std::int32_t>(frequencies.size());
            frequencies.push_back({ x, y, z });
          }
        }
      }
    }
    if (real)
    {
      result.realCount = static_cast<std::int32_t>(frequencies.size());
    }
  }

  // sum over the taps t of weight(t) exp(2 pi i k (t - 1) / n), over the number of voxels. Added up here, in order:
  // torch's products of matrices may round otherwise with another number of threads.
  const std::int64_t  perTap = m_Weights.size(1) * m_Weights.size(2);
  const at::Tensor    ordered = backward ? m_Weights.transpose(1, 2).contiguous() : m_Weights;
  const float * const weights = ordered.const_data_ptr<float>();
  const double        scale = 1.0 / (static_cast<double>(nx) * ny * nz);
  std::vector<double> re(static_cast<std::size_t>(perTap));
  std::vector<double> im(static_cast<std::size_t>(perTap));
  at::Tensor          all = at::empty({ static_cast<std::int64_t>(frequencies.size()), 2, perTap }, at::kFloat);
  float *             to = all.data_ptr<float>();
  for (const auto & frequency : frequencies)
  {
    std::fill(re.begin(), re.end(), 0.0);
    std::fill(im.begin(), im.end(), 0.0);
    for (std::int64_t tap = 0; tap < m_Taps; ++tap)
    {
      const std::array<std::int64_t, 3> t{ tap % m_Unit.kernel[0],
                                           tap / m_Unit.kernel[0] % m_Unit.kernel[1],
                                           tap / m_Unit.kernel[0] / m_Unit.kernel[1] };
      double                            turns = 0.0;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const auto fromCentre = static_cast<double>(t[axis] - m_Unit.padding[axis]);
        turns += fromCentre * frequency[axis] / length[axis];
      }
      const double        cosine = scale * std::cos(2.0 * M_PI * turns);
      const double        sine = (backward ? -scale : scale) * std::sin(2.0 * M_PI * turns);
      const float * const ofTap = weights + tap * perTap;
      for (std::int64_t i = 0; i < perTap; ++i)
      {
        re[static_cast<std::size_t>(i)] += cosine * ofTap[i];
        im[static_cast<std::size_t>(i)] += sine * ofTap[i];
      }
    }
    to = std::copy(re.begin(), re.end(), to);
    to = std::copy(im.begin(), im.end(), to);
  }
  result.weights = all;
  result.count = static_cast<std::int32_t>(frequencies.size());
  return result;
}

void
ConvolutionUnit::convolveSpectrally(const float *      input,
                                    const ChannelMap * maps,
                                    std::int64_t       count,
                                    const Size &       size,
                                    bool               backward,
                                    const Slices &     slices,
                                    float *            output,
                                    TaskLoop           loop) const
{
  const Spectrum & spectrum = this->spectrum(size, backward);
  const auto       in = static_cast<std::int32_t>(backward ? m_Out : m_In);
  const auto       out = static_cast<std::int32_t>(backward ? m_In : m_Out);

  SpectralPlan plan{};
  std::copy(spectrum.length.begin(), spectrum.length.end(), plan.length);
  plan.numberOfFrequencies = spectrum.count;
  plan.numberOfRealFrequencies = spectrum.realCount;
  plan.slots = spectrum.slots.data();
  plan.channelsIn = in;
  plan.channelsOut = out;
  plan.weights = spectrum.weights.const_data_ptr<float>();
  plan.bias = m_Bias.defined() && !backward ? m_Bias.const_data_ptr<float>() : nullptr;

  Size                        numberOfTiles{};
  std::array<std::int32_t, 3> volume{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t inner = spectrum.length[axis] - 2;
    volume[axis] = static_cast<std::int32_t>(size[axis]);
    numberOfTiles[axis] = spectrum.length[axis] == 1           ? size[axis]
                          : size[axis] < spectrum.length[axis] ? 1
                                                               : (size[axis] + inner - 1) / inner;
  }
  // Along z from the first slice wanted on.
  const std::int64_t innerZ = std::max(1, spectrum.length[2] - 2);
  const bool         oneInZ = spectrum.length[2] > 1 && size[2] < spectrum.length[2];
  numberOfTiles[2] = oneInZ ? 1 : (slices.end - slices.begin + innerZ - 1) / innerZ;
  const std::int64_t perVolume = voxelsOf(numberOfTiles);
  const std::int64_t total = count * perVolume;
  // As much as stays in the cache; but where the weights themselves do not, more work for each that is read.
  const std::int64_t weights = std::int64_t{ spectrum.count } * in * out;
  const std::int64_t atOnce = 8 * std::clamp<std::int64_t>(weights >> 18, 1, 4);

  loop((total + atOnce - 1) / atOnce, [&](std::int64_t task) {
    const std::int64_t         first = task * atOnce;
    const auto                 number = static_cast<std::int32_t>(std::min(atOnce, total - first));
    std::vector<SpectralTile>  tiles(static_cast<std::size_t>(number));
    std::vector<SpectralEntry> entries(static_cast<std::size_t>(number));
    for (std::int32_t i = 0; i < number; ++i)
    {
      const std::int64_t n = (first + i) / perVolume;
      const std::int64_t inVolume = (first + i) % perVolume;
      const Size         place{ inVolume % numberOfTiles[0],
                                inVolume / numberOfTiles[0] % numberOfTiles[1],
                                inVolume / numberOfTiles[0] / numberOfTiles[1] };
      SpectralTile &     tile = tiles[static_cast<std::size_t>(i)];
      tile.input = input + n * voxelsOf(size) * in;
      tile.output = output + n * voxelsOf(size) * out;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const std::int32_t length = spectrum.length[axis];
        const bool         single = length == 1;
        const bool         whole = !single && size[axis] < length;
        const std::int64_t begin = axis == 2 ? slices.begin : 0;
        const std::int64_t end = axis == 2 ? slices.end : size[axis];
        const std::int64_t first = single ? begin + place[axis] : whole ? 0 : begin + place[axis] * (length - 2) - 1;
        tile.begin[axis] = static_cast<std::int32_t>(first);
        tile.keep[axis] = static_cast<std::int32_t>(single ? 0 : whole ? begin : 1);
        tile.keepEnd[axis] = static_cast<std::int32_t>(single  ? 1
                                                       : whole ? end
                                                               : std::min<std::int64_t>(length - 1, end - first));
      }
      entries[static_cast<std::size_t>(i)] =
        maps ? SpectralEntry{ maps[n].scale, maps[n].shift, maps[n].slope } : SpectralEntry{ nullptr, nullptr, 1.0F };
    }
    float * const workspace = scratch(0).get(workspaceFloats(plan, number));
    spectralKernels().convolve(plan, volume.data(), tiles.data(), entries.data(), number, workspace);
  });
}

} // namespace impact
