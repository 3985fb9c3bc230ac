#include "chain_unit.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace impact
{
namespace
{

constexpr std::int64_t channelBlock = 32;
constexpr std::int64_t rowsAtOnce = 8; // of VolumeKernels::multiplyRows

std::int64_t
padded(std::int64_t channels)
{
  return (channels + channelBlock - 1) / channelBlock * channelBlock;
}

std::int64_t
voxelsOf(const ConvolutionUnit::Size & size)
{
  return size[0] * size[1] * size[2];
}

at::Tensor
padLast(const at::Tensor & tensor, std::int64_t to)
{
  return at::constant_pad_nd(tensor, { 0, to - tensor.size(-1) }).contiguous();
}

/** Memory that a thread uses again and again. */
FloatBuffer &
scratch(int number)
{
  thread_local std::array<FloatBuffer, 3> buffers;
  return buffers[static_cast<std::size_t>(number)];
}

} // namespace

void
serially(std::int64_t count, const std::function<void(std::int64_t)> & task)
{
  for (std::int64_t i = 0; i < count; ++i)
  {
    task(i);
  }
}

float *
FloatBuffer::get(std::size_t count)
{
  constexpr std::size_t alignment = 64;
  if (count > m_Count)
  {
    m_Floats.reset(); // the old ones go first
    m_Floats.reset(new float[count + alignment / sizeof(float)]);
    m_Count = count;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(m_Floats.get());
  return reinterpret_cast<float *>((address + alignment - 1) / alignment * alignment);
}

ConvolutionUnit::ConvolutionUnit(const ChainUnit & unit, bool isFirst)
  : m_Unit(unit)
  , m_Channels(unit.weight.size(0))
  , m_In(isFirst ? 1 : padded(unit.weight.size(1)))
  , m_Out(padded(m_Channels))
  , m_Taps(unit.kernel[0] * unit.kernel[1] * unit.kernel[2])
  , m_Kind(Kind::General)
{
  // The grey image is repeated in all channels: their weights add up.
  at::Tensor weight = unit.weight.flatten(2); // out x in x taps
  weight = isFirst ? weight.sum(1, /*keepdim=*/true) : weight;
  const at::Tensor byTap = weight.permute({ 2, 1, 0 }); // taps x in x out
  m_Weights = at::constant_pad_nd(byTap, { 0, m_Out - m_Channels, 0, m_In - byTap.size(1) }).contiguous();
  m_Bias = unit.bias.defined() ? padLast(unit.bias, m_Out) : at::Tensor();

  const bool stepsOfOne = unit.stride == Size{ 1, 1, 1 };
  if (isFirst && stepsOfOne)
  {
    m_Kind = Kind::Single;
    m_TransposedWeights = padLast(m_Weights.select(1, 0).t(), padded(m_Taps));
  }
  else
  {
    bool threes = stepsOfOne && unit.dilation == Size{ 1, 1, 1 };
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const bool three = unit.kernel[axis] == 3 && unit.padding[axis] == 1;
      const bool one = axis == 2 && unit.kernel[axis] == 1 && unit.padding[axis] == 0;
      threes = threes && (three || one);
    }
    m_Kind = threes && !isFirst ? Kind::Spectral : Kind::General;
    m_TransposedWeights = padLast(m_Weights.transpose(1, 2), padded(m_In));
  }

  const auto vector = [this](const at::Tensor & given, double otherwise) {
    const at::Tensor values = given.defined() ? given : at::full({ m_Channels }, otherwise, at::kDouble);
    return padLast(values.to(at::kFloat), m_Out);
  };
  m_Scale = vector(unit.scale, 1.0);
  m_Shift = vector(unit.shift, 0.0);
}

ConvolutionUnit::Size
ConvolutionUnit::outputSize(const Size & input) const
{
  Size result{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t reach = m_Unit.dilation[axis] * (m_Unit.kernel[axis] - 1);
    const std::int64_t room = input[axis] + 2 * m_Unit.padding[axis] - reach - 1;
    result[axis] = room < 0 ? 0 : room / m_Unit.stride[axis] + 1;
  }
  return result;
}

ConvolutionUnit::Size
ConvolutionUnit::paddedSize(const Size & size) const
{
  Size result{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    result[axis] = size[axis] + 2 * m_Unit.padding[axis];
  }
  return result;
}

std::vector<std::ptrdiff_t>
ConvolutionUnit::tapOffsets(const Size & padded) const
{
  std::vector<std::ptrdiff_t> offsets;
  for (std::int64_t z = 0; z < m_Unit.kernel[2]; ++z)
  {
    for (std::int64_t y = 0; y < m_Unit.kernel[1]; ++y)
    {
      for (std::int64_t x = 0; x < m_Unit.kernel[0]; ++x)
      {
        offsets.push_back((z * m_Unit.dilation[2] * padded[1] + y * m_Unit.dilation[1]) * padded[0] +
                          x * m_Unit.dilation[0]);
      }
    }
  }
  return offsets;
}

void
ConvolutionUnit::forward(const float *      input,
                         const ChannelMap * maps,
                         std::int64_t       count,
                         const Size &       size,
                         float *            output,
                         TaskLoop           loop) const
{
  const Slices all{ 0, outputSize(size)[2] };
  switch (m_Kind)
  {
    case Kind::Spectral:
      return convolveSpectrally(input, maps, count, size, false, all, output, loop);
    case Kind::Single:
      return forwardSingle(input, count, size, all, output, loop);
    case Kind::General:
      return forwardGenerally(input, maps, count, size, all, output, loop);
  }
}

ConvolutionUnit::Slices
ConvolutionUnit::inputSlices(const Size & size, const Slices & output) const
{
  const std::int64_t first = output.begin * m_Unit.stride[2] - m_Unit.padding[2];
  const std::int64_t last = (output.end - 1) * m_Unit.stride[2] - m_Unit.padding[2] + reach();
  return { std::clamp<std::int64_t>(first, 0, size[2] - 1), std::clamp<std::int64_t>(last + 1, 1, size[2]) };
}

void
ConvolutionUnit::forwardSlices(const float *      input,
                               const ChannelMap * map,
                               const Size &       size,
                               const Slices &     slices,
                               float *            output) const
{
  // As if the whole volume were there: no other slice is read.
  const float * const whole = input - inputSlices(size, slices).begin * size[0] * size[1] * m_In;
  const Size          out = outputSize(size);
  float * const       wholeOutput = output - slices.begin * out[0] * out[1] * m_Out;
  switch (m_Kind)
  {
    case Kind::Spectral:
      return convolveSpectrally(whole, map, 1, size, false, slices, wholeOutput, inParallel);
    case Kind::Single:
      return forwardSingle(whole, 1, size, slices, wholeOutput, inParallel);
    case Kind::General:
      return forwardGenerally(whole, map, 1, size, slices, wholeOutput, inParallel);
  }
}

void
ConvolutionUnit::backward(const float * gradient,
                          std::int64_t  count,
                          const Size &  size,
                          float *       inputGradient,
                          TaskLoop      loop) const
{
  if (m_Kind == Kind::Spectral)
  {
    return convolveSpectrally(gradient, nullptr, count, size, true, { 0, size[2] }, inputGradient, loop);
  }
  const std::int64_t in = voxelsOf(size) * m_In;
  const std::int64_t out = voxelsOf(outputSize(size)) * m_Out;
  loop(count, [&](std::int64_t n) {
    if (m_Kind == Kind::Single)
    {
      backwardSingle(gradient + n * out, size, inputGradient + n * in);
    }
    else
    {
      backwardGenerally(gradient + n * out, size, inputGradient + n * in);
    }
  });
}

const ConvolutionUnit::Spectrum &
ConvolutionUnit::spectrum(const Size & size, bool backward) const
{
  std::array<std::int32_t, 3> length{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    // One tile with room for a voxel of zeros, the padding of both sides at once; larger volumes in tiles that overlap.
    const std::int64_t whole = std::max<std::int64_t>(4, (size[axis] + 2) / 2 * 2);
    length[axis] = m_Unit.kernel[axis] == 1 ? 1 : whole <= 12 ? static_cast<std::int32_t>(whole) : 8;
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
  const auto                      place = [ny, nz](int x, int y, int z) {
    return static_cast<std::size_t>((x * ny + y) * nz + z);
  };
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

  // sum over the taps t of weight(t) exp(2 pi i k (t - 1) / n), over the number of voxels.
  const auto number = static_cast<std::int64_t>(frequencies.size());
  at::Tensor angles = at::empty({ number, m_Taps }, at::kDouble);
  auto       angle = angles.accessor<double, 2>();
  for (std::int64_t f = 0; f < number; ++f)
  {
    for (std::int64_t tap = 0; tap < m_Taps; ++tap)
    {
      const std::array<std::int64_t, 3> t{ tap % 3 - 1, tap / 3 % 3 - 1, m_Taps > 9 ? tap / 9 - 1 : 0 };
      double                            turns = 0.0;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        turns += static_cast<double>(t[axis] * frequencies[static_cast<std::size_t>(f)][axis]) / length[axis];
      }
      angle[f][tap] = 2.0 * M_PI * turns;
    }
  }
  const double     scale = 1.0 / (static_cast<double>(nx) * ny * nz);
  const at::Tensor weights = (backward ? m_Weights.transpose(1, 2) : m_Weights).reshape({ m_Taps, -1 }).to(at::kDouble);
  const at::Tensor re = at::matmul(angles.cos() * scale, weights);
  const at::Tensor im = at::matmul(angles.sin() * (backward ? -scale : scale), weights);
  result.weights = at::stack({ re, im }, 1).to(at::kFloat).contiguous();
  result.count = static_cast<std::int32_t>(number);
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
    numberOfTiles[axis] =
      spectrum.length[axis] == 1 ? size[axis] : size[axis] < spectrum.length[axis] ? 1 : (size[axis] + inner - 1) / inner;
  }
  // Along z from the first slice wanted on.
  const std::int64_t innerZ = std::max(1, spectrum.length[2] - 2);
  const bool         oneInZ = spectrum.length[2] > 1 && size[2] < spectrum.length[2];
  numberOfTiles[2] = oneInZ ? 1 : (slices.end - slices.begin + innerZ - 1) / innerZ;
  const std::int64_t perVolume = voxelsOf(numberOfTiles);
  const std::int64_t total = count * perVolume;
  // As much as stays in the cache; but where the weights themselves do not, more work for each that is read.
  const std::int64_t weights = std::int64_t{ spectrum.count } * in * out;
  const std::int64_t atOnce = 8 * std::clamp<std::int64_t>(weights >> 18, 1, 8);

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
        const std::int64_t first = single  ? begin + place[axis]
                                   : whole ? 0
                                           : begin + place[axis] * (length - 2) - 1;
        tile.begin[axis] = static_cast<std::int32_t>(first);
        tile.keep[axis] = static_cast<std::int32_t>(single ? 0 : whole ? begin : 1);
        tile.keepEnd[axis] =
          static_cast<std::int32_t>(single ? 1 : whole ? end : std::min<std::int64_t>(length - 1, end - first));
      }
      entries[static_cast<std::size_t>(i)] =
        maps ? SpectralEntry{ maps[n].scale, maps[n].shift, maps[n].slope } : SpectralEntry{ nullptr, nullptr, 1.0F };
    }
    float * const workspace = scratch(0).get(workspaceFloats(plan, number));
    spectralKernels().convolve(plan, volume.data(), tiles.data(), entries.data(), number, workspace);
  });
}

void
ConvolutionUnit::forwardSingle(const float *  input,
                               std::int64_t   count,
                               const Size &   size,
                               const Slices & slices,
                               float *        output,
                               TaskLoop       loop) const
{
  // A copy of the slices that are read, with room for the padding.
  const Size         padded = paddedSize(size);
  const Size         out = outputSize(size);
  const auto         offsets = tapOffsets(padded);
  const std::int64_t depth = slices.end - slices.begin + reach();
  const auto         voxels = static_cast<std::size_t>(depth * padded[1] * padded[0]);
  FloatBuffer        own;
  FloatBuffer &      buffer = loop == &serially ? scratch(1) : own;
  for (std::int64_t n = 0; n < count; ++n)
  {
    float * const copy = buffer.get(voxels);
    std::memset(copy, 0, voxels * sizeof(float));
    for (std::int64_t slice = 0; slice < depth; ++slice)
    {
      const std::int64_t z = slices.begin + slice - m_Unit.padding[2];
      for (std::int64_t y = 0; z >= 0 && z < size[2] && y < size[1]; ++y)
      {
        std::memcpy(copy + (slice * padded[1] + y + m_Unit.padding[1]) * padded[0] + m_Unit.padding[0],
                    input + n * voxelsOf(size) + (z * size[1] + y) * size[0],
                    static_cast<std::size_t>(size[0]) * sizeof(float));
      }
    }
    loop((slices.end - slices.begin) * out[1], [&](std::int64_t row) {
      const std::int64_t slice = row / out[1];
      const std::int64_t y = row % out[1];
      volumeKernels().convolveLine(copy + (slice * padded[1] + y) * padded[0],
                                   static_cast<std::int32_t>(out[0]),
                                   offsets.data(),
                                   static_cast<std::int32_t>(m_Taps),
                                   m_Weights.const_data_ptr<float>(),
                                   m_Bias.defined() ? m_Bias.const_data_ptr<float>() : nullptr,
                                   static_cast<std::int32_t>(m_Out),
                                   output + (n * voxelsOf(out) + (slices.begin * out[1] + row) * out[0]) * m_Out);
    });
  }
}

void
ConvolutionUnit::backwardSingle(const float * gradient, const Size & size, float * inputGradient) const
{
  const Size         padded = paddedSize(size);
  const Size         out = outputSize(size);
  const auto         offsets = tapOffsets(padded);
  const std::int64_t columns = m_TransposedWeights.size(1);
  const auto         paddedVoxels = static_cast<std::size_t>(voxelsOf(padded));
  float * const      sums = scratch(1).get(paddedVoxels + 1); // addTaps() writes one more
  float * const      products = scratch(2).get(static_cast<std::size_t>(rowsAtOnce * columns) + 1);
  std::vector<std::ptrdiff_t> lines; // the first taps of lines of three, where the kernel is made of such
  for (std::size_t tap = 0; m_Unit.kernel[0] == 3 && m_Unit.dilation[0] == 1 && tap < offsets.size(); tap += 3)
  {
    lines.push_back(offsets[tap]);
  }
  std::memset(sums, 0, paddedVoxels * sizeof(float));

  std::array<const float *, rowsAtOnce> rows{};
  std::array<float *, rowsAtOnce>       to{};
  for (std::size_t r = 0; r < rowsAtOnce; ++r)
  {
    to[r] = products + static_cast<std::int64_t>(r) * columns;
  }
  for (std::int64_t first = 0; first < voxelsOf(out); first += rowsAtOnce)
  {
    const std::int64_t count = std::min(rowsAtOnce, voxelsOf(out) - first);
    for (std::int64_t r = 0; r < rowsAtOnce; ++r)
    {
      rows[static_cast<std::size_t>(r)] = gradient + (first + std::min(r, count - 1)) * m_Out;
    }
    volumeKernels().multiplyRows(rows.data(),
                                 1,
                                 static_cast<std::int32_t>(m_Out),
                                 m_TransposedWeights.const_data_ptr<float>(),
                                 nullptr,
                                 static_cast<std::int32_t>(columns),
                                 to.data());
    for (std::int64_t r = 0; r < count; ++r)
    {
      const std::int64_t v = first + r;
      float * const      at = sums + (v / out[0] / out[1] * padded[1] + v / out[0] % out[1]) * padded[0] + v % out[0];
      if (!lines.empty())
      {
        volumeKernels().addTaps(products + r * columns, lines.data(), static_cast<std::int32_t>(lines.size()), at);
        continue;
      }
      for (std::size_t tap = 0; tap < offsets.size(); ++tap)
      {
        at[offsets[tap]] += products[r * columns + static_cast<std::int64_t>(tap)];
      }
    }
  }
  for (std::int64_t z = 0; z < size[2]; ++z)
  {
    for (std::int64_t y = 0; y < size[1]; ++y)
    {
      std::memcpy(inputGradient + (z * size[1] + y) * size[0],
                  sums + ((z + m_Unit.padding[2]) * padded[1] + y + m_Unit.padding[1]) * padded[0] + m_Unit.padding[0],
                  static_cast<std::size_t>(size[0]) * sizeof(float));
    }
  }
}

void
ConvolutionUnit::forwardGenerally(const float *      input,
                                  const ChannelMap * maps,
                                  std::int64_t       count,
                                  const Size &       size,
                                  const Slices &     slices,
                                  float *            output,
                                  TaskLoop           loop) const
{
  const Size               out = outputSize(size);
  const std::int64_t       inVoxels = voxelsOf(size);
  const std::int64_t       outVoxels = voxelsOf(out);
  const Slices             from = inputSlices(size, slices);
  const std::int64_t       inBegin = from.begin * size[0] * size[1];
  const std::int64_t       inEnd = from.end * size[0] * size[1];
  const std::int64_t       outBegin = slices.begin * out[0] * out[1];
  const std::int64_t       outEnd = slices.end * out[0] * out[1];
  const std::vector<float> zeros(static_cast<std::size_t>(m_In), 0.0F);
  FloatBuffer              mapped;
  for (std::int64_t n = 0; n < count; ++n)
  {
    const float * volume = input + n * inVoxels * m_In;
    if (maps)
    {
      FloatBuffer & buffer = loop == &serially ? scratch(1) : mapped;
      float * const to = buffer.get(static_cast<std::size_t>((inEnd - inBegin) * m_In)) - inBegin * m_In;
      constexpr std::int64_t chunk = 4096;
      loop((inEnd - inBegin + chunk - 1) / chunk, [&](std::int64_t c) {
        const std::int64_t begin = inBegin + c * chunk;
        volumeKernels().apply(volume + begin * m_In,
                              std::min(chunk, inEnd - begin),
                              static_cast<std::int32_t>(m_In),
                              maps[n],
                              to + begin * m_In);
      });
      volume = to;
    }
    loop((outEnd - outBegin + rowsAtOnce - 1) / rowsAtOnce, [&](std::int64_t block) {
      std::vector<const float *>      rows(static_cast<std::size_t>(m_Taps * rowsAtOnce));
      std::array<float *, rowsAtOnce> to{};
      for (std::int64_t r = 0; r < rowsAtOnce; ++r)
      {
        const std::int64_t wanted = outBegin + block * rowsAtOnce + r;
        const std::int64_t v = std::min(wanted, outEnd - 1);
        to[static_cast<std::size_t>(r)] = wanted < outEnd ? output + (n * outVoxels + v) * m_Out : nullptr;
        const Size at{ v % out[0], v / out[0] % out[1], v / out[0] / out[1] };
        for (std::int64_t tap = 0; tap < m_Taps; ++tap)
        {
          const Size   t{ tap % m_Unit.kernel[0],
                        tap / m_Unit.kernel[0] % m_Unit.kernel[1],
                        tap / m_Unit.kernel[0] / m_Unit.kernel[1] };
          std::int64_t index = 0;
          bool         inside = true;
          for (std::size_t axis = 3; axis-- > 0;)
          {
            const std::int64_t i = at[axis] * m_Unit.stride[axis] + t[axis] * m_Unit.dilation[axis] - m_Unit.padding[axis];
            inside = inside && i >= 0 && i < size[axis];
            index = index * size[axis] + i;
          }
          rows[static_cast<std::size_t>(tap * rowsAtOnce + r)] = inside ? volume + index * m_In : zeros.data();
        }
      }
      volumeKernels().multiplyRows(rows.data(),
                                   static_cast<std::int32_t>(m_Taps),
                                   static_cast<std::int32_t>(m_In),
                                   m_Weights.const_data_ptr<float>(),
                                   m_Bias.defined() ? m_Bias.const_data_ptr<float>() : nullptr,
                                   static_cast<std::int32_t>(m_Out),
                                   to.data());
    });
  }
}

void
ConvolutionUnit::backwardGenerally(const float * gradient, const Size & size, float * inputGradient) const
{
  const Size                      out = outputSize(size);
  const std::int64_t              columns = m_TransposedWeights.size(2);
  const std::int64_t              voxels = voxelsOf(size);
  const std::vector<float>        zeros(static_cast<std::size_t>(m_Out), 0.0F);
  std::vector<const float *>      rows(static_cast<std::size_t>(m_Taps * rowsAtOnce));
  std::array<float *, rowsAtOnce> to{};
  float * const                   products = scratch(2).get(static_cast<std::size_t>(rowsAtOnce * columns));
  for (std::int64_t first = 0; first < voxels; first += rowsAtOnce)
  {
    for (std::int64_t r = 0; r < rowsAtOnce; ++r)
    {
      const std::int64_t v = std::min(first + r, voxels - 1);
      to[static_cast<std::size_t>(r)] = products + r * columns;
      const Size at{ v % size[0], v / size[0] % size[1], v / size[0] / size[1] };
      for (std::int64_t tap = 0; tap < m_Taps; ++tap)
      {
        const Size   t{ tap % m_Unit.kernel[0],
                      tap / m_Unit.kernel[0] % m_Unit.kernel[1],
                      tap / m_Unit.kernel[0] / m_Unit.kernel[1] };
        std::int64_t index = 0;
        bool         touches = true;
        for (std::size_t axis = 3; axis-- > 0;)
        {
          const std::int64_t i = at[axis] + m_Unit.padding[axis] - t[axis] * m_Unit.dilation[axis];
          touches = touches && i >= 0 && i % m_Unit.stride[axis] == 0 && i / m_Unit.stride[axis] < out[axis];
          index = index * out[axis] + i / m_Unit.stride[axis];
        }
        rows[static_cast<std::size_t>(tap * rowsAtOnce + r)] = touches ? gradient + index * m_Out : zeros.data();
      }
    }
    volumeKernels().multiplyRows(rows.data(),
                                 static_cast<std::int32_t>(m_Taps),
                                 static_cast<std::int32_t>(m_Out),
                                 m_TransposedWeights.const_data_ptr<float>(),
                                 nullptr,
                                 static_cast<std::int32_t>(columns),
                                 to.data());
    for (std::int64_t r = 0; r < std::min(rowsAtOnce, voxels - first); ++r)
    {
      std::copy_n(products + r * columns, m_In, inputGradient + (first + r) * m_In);
    }
  }
}

void
ConvolutionUnit::Moments::add(const Moments & other)
{
  if (voxels == 0.0)
  {
    *this = other;
    return;
  }
  // Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
  const double total = voxels + other.voxels;
  for (std::size_t c = 0; c < mean.size(); ++c)
  {
    const double difference = other.mean[c] - mean[c];
    mean[c] += difference * other.voxels / total;
    squares[c] += other.squares[c] + difference * difference * voxels * other.voxels / total;
  }
  voxels = total;
}

void
ConvolutionUnit::Moments::of(const float * x, std::int64_t count, std::int64_t channels)
{
  voxels = static_cast<double>(count);
  mean.resize(static_cast<std::size_t>(channels));
  squares.resize(static_cast<std::size_t>(channels));
  volumeKernels().moments(x, count, static_cast<std::int32_t>(channels), mean.data(), squares.data());
}

ConvolutionUnit::Moments
ConvolutionUnit::momentsOf(const float * output, std::int64_t voxels) const
{
  // Chunks of a fixed size, added up in order.
  constexpr std::int64_t chunk = 4096;
  std::vector<Moments>   parts(static_cast<std::size_t>((voxels + chunk - 1) / chunk));
  inParallel(static_cast<std::int64_t>(parts.size()), [&](std::int64_t c) {
    parts[static_cast<std::size_t>(c)].of(output + c * chunk * m_Out, std::min(chunk, voxels - c * chunk), m_Out);
  });
  Moments total;
  for (const Moments & part : parts)
  {
    total.add(part);
  }
  return total;
}

ChannelMap
ConvolutionUnit::mapFrom(const Moments & moments, float * storage) const
{
  const auto          channels = static_cast<std::size_t>(m_Out);
  const auto          slope = static_cast<float>(m_Unit.slope);
  const float * const gain = m_Scale.const_data_ptr<float>();
  const float * const offset = m_Shift.const_data_ptr<float>();
  if (!isNormalizedByInstance())
  {
    return { gain, offset, nullptr, nullptr, slope };
  }
  float * const scale = storage;
  float * const shift = storage + channels;
  float * const mean = storage + 2 * channels;
  float * const inverse = storage + 3 * channels;
  for (std::size_t c = 0; c < channels; ++c)
  {
    mean[c] = static_cast<float>(moments.mean[c]);
    inverse[c] = static_cast<float>(1.0 / std::sqrt(moments.squares[c] / moments.voxels + m_Unit.epsilon));
    scale[c] = gain[c] * inverse[c];
    shift[c] = offset[c] - mean[c] * scale[c];
  }
  return { scale, shift, mean, inverse, slope };
}

ChannelMap
ConvolutionUnit::mapOf(const float * output, std::int64_t voxels, float * storage) const
{
  thread_local Moments moments;
  if (isNormalizedByInstance())
  {
    moments.of(output, voxels, m_Out);
  }
  return mapFrom(moments, storage);
}

} // namespace impact
