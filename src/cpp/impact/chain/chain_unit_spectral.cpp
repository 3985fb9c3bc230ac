#include "impact/chain/chain_unit.h"

#include <algorithm>

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
  if (result.weights)
  {
    return result;
  }
  result.shape = SpectrumShape::of(length);
  const at::Tensor   ordered = backward ? m_Weights.transpose(1, 2).contiguous() : m_Weights;
  const SpectrumTaps taps{
    ordered.const_data_ptr<float>(), m_Unit.kernel, m_Unit.padding, m_Weights.size(1) * m_Weights.size(2)
  };
  float * const to = result.numbers.get(numbersOfSpectrum(result.shape, taps));
  spectrumOf(result.shape, taps, backward, spectralKernels(), to);
  result.weights = to;
  return result;
}

void
ConvolutionUnit::convolveSpectrally(const Work & work, bool backward, const TaskLoop & loop) const
{
  const auto & [volumes, from, slices] = work;
  const Size &     size = volumes.size;
  const Spectrum & spectrum = this->spectrum(size, backward);
  const auto       in = static_cast<std::int32_t>(backward ? m_Out : m_In);
  const auto       out = static_cast<std::int32_t>(backward ? m_In : m_Out);

  const SpectrumShape & shape = spectrum.shape;
  SpectralPlan          plan = shape.plan();
  plan.channelsIn = in;
  plan.channelsOut = out;
  plan.weights = spectrum.weights;
  plan.bias = m_Bias.defined() && !backward ? m_Bias.const_data_ptr<float>() : nullptr;

  Size                        numberOfTiles{};
  std::array<std::int32_t, 3> volume{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t inner = shape.length[axis] - 2;
    volume[axis] = static_cast<std::int32_t>(axis == 2 ? from.end - from.begin : size[axis]);
    numberOfTiles[axis] = shape.length[axis] == 1           ? size[axis]
                          : size[axis] < shape.length[axis] ? 1
                                                            : (size[axis] + inner - 1) / inner;
  }
  // Along z from the first slice wanted on.
  const std::int64_t innerZ = std::max(1, shape.length[2] - 2);
  const bool         oneInZ = shape.length[2] > 1 && size[2] < shape.length[2];
  numberOfTiles[2] = oneInZ ? 1 : (slices.end - slices.begin + innerZ - 1) / innerZ;
  const std::int64_t perVolume = voxelsOf(numberOfTiles);
  const std::int64_t total = volumes.count * perVolume;
  // As much as stays in the cache; but where the weights themselves do not, more work for each that is read.
  const std::int64_t weights = std::int64_t{ plan.numberOfFrequencies } * in * out;
  const std::int64_t atOnce = 8 * std::clamp<std::int64_t>(weights >> 18, 1, 4);

  const std::int64_t inPerVolume = (from.end - from.begin) * size[1] * size[0] * in;
  const std::int64_t outPerVolume = (slices.end - slices.begin) * size[1] * size[0] * out;
  loop.run((total + atOnce - 1) / atOnce, [&](std::int64_t task, ChainWorkspace & workspace) {
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
      tile.input = volumes.input + n * inPerVolume;
      tile.output = volumes.output + n * outPerVolume;
      tile.firstSlice = static_cast<std::int32_t>(slices.begin - from.begin);
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const std::int32_t length = shape.length[axis];
        const bool         single = length == 1;
        const bool         whole = !single && size[axis] < length;
        const std::int64_t begin = axis == 2 ? slices.begin : 0;
        const std::int64_t end = axis == 2 ? slices.end : size[axis];
        const std::int64_t first = single ? begin + place[axis] : whole ? 0 : begin + place[axis] * (length - 2) - 1;
        tile.begin[axis] = static_cast<std::int32_t>(axis == 2 ? first - from.begin : first);
        tile.keep[axis] = static_cast<std::int32_t>(single ? 0 : whole ? begin : 1);
        tile.keepEnd[axis] = static_cast<std::int32_t>(single  ? 1
                                                       : whole ? end
                                                               : std::min<std::int64_t>(length - 1, end - first));
      }
      entries[static_cast<std::size_t>(i)] =
        volumes.maps ? SpectralEntry{ volumes.maps[n].scale, volumes.maps[n].shift, volumes.maps[n].slope }
                     : SpectralEntry{ nullptr, nullptr, 1.0F };
    }
    float * const room = workspace.spectral.get(workspaceFloats(plan, number));
    spectralKernels().convolve(plan, volume.data(), tiles.data(), entries.data(), number, room);
  });
}

} // namespace impact
