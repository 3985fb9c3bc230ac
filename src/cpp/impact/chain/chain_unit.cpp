#include "impact/chain/chain_unit.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

// As many as VolumeKernels::moments takes at once.
constexpr std::int64_t voxelsOfMoments = 4096;

std::int64_t
roundUp(std::int64_t number, std::int64_t step)
{
  return (number + step - 1) / step * step;
}

/** Weights out x in x ... as taps x in x out, the channels padded. */
at::Tensor
weightsByTap(const at::Tensor & weight, std::int64_t in, std::int64_t out)
{
  const at::Tensor    given = weight.flatten(2).contiguous();
  const std::int64_t  ins = given.size(1);
  const std::int64_t  taps = given.size(2);
  const at::Tensor    result = at::zeros({ taps, in, out }, at::kFloat);
  const float * const from = given.const_data_ptr<float>();
  float * const       to = result.data_ptr<float>();
  constexpr auto      atOnce = std::int64_t{ 32 };
  inParallel((given.size(0) + atOnce - 1) / atOnce, [&](std::int64_t block) {
    const std::int64_t end = std::min(given.size(0), (block + 1) * atOnce);
    for (std::int64_t i = 0; i < ins; ++i)
    {
      for (std::int64_t tap = 0; tap < taps; ++tap)
      {
        for (std::int64_t o = block * atOnce; o < end; ++o)
        {
          to[(tap * in + i) * out + o] = from[(o * ins + i) * taps + tap];
        }
      }
    }
  });
  return result;
}

at::Tensor
padLast(const at::Tensor & tensor, std::int64_t to)
{
  return at::constant_pad_nd(tensor, { 0, to - tensor.size(-1) }).contiguous();
}

} // namespace

ConvolutionUnit::ConvolutionUnit(const ChainUnit & unit, bool isFirst)
  : m_Unit(unit)
  , m_Channels(unit.weight.size(0))
  , m_In(isFirst ? 1 : roundUp(unit.weight.size(1), channelBlock))
  , m_Out(roundUp(m_Channels, channelBlock))
  , m_Taps(unit.kernel[0] * unit.kernel[1] * unit.kernel[2])
  , m_Kind(Kind::General)
{
  // The grey image is repeated in all channels: their weights add up.
  m_Weights = weightsByTap(isFirst ? unit.weight.sum(1, /*keepdim=*/true) : unit.weight, m_In, m_Out);
  m_Bias = unit.bias.defined() ? padLast(unit.bias, m_Out) : at::Tensor();

  for (std::int64_t tap = 0; tap < m_Taps; ++tap)
  {
    const Size & kernel = unit.kernel;
    m_TapPlaces.push_back({ tap % kernel[0] * unit.dilation[0],
                            tap / kernel[0] % kernel[1] * unit.dilation[1],
                            tap / kernel[0] / kernel[1] * unit.dilation[2] });
  }

  const bool stepsOfOne = unit.stride == Size{ 1, 1, 1 };
  if (isFirst && stepsOfOne)
  {
    m_Kind = Kind::Single;
    m_TransposedWeights = padLast(m_Weights.select(1, 0).t(), roundUp(m_Taps, channelBlock));
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
    m_Kind = threes && !isFirst && bytesOfSpectrum(tileLength) <= mostBytes ? Kind::Spectral : Kind::General;
  }

  const auto vector = [this](const at::Tensor & given, double otherwise) {
    const at::Tensor values = given.defined() ? given : at::full({ m_Channels }, otherwise, at::kDouble);
    return padLast(values.to(at::kFloat), m_Out);
  };
  m_Scale = vector(unit.scale, 1.0);
  m_Shift = vector(unit.shift, 0.0);
}

void
ConvolutionUnit::prepareBackward() const
{
  if (m_Kind == Kind::General)
  {
    std::call_once(m_PhasesMade, [this] { makePhases(); });
  }
}

void
ConvolutionUnit::makePhases() const
{
  const Size &              stride = m_Unit.stride;
  std::vector<std::int64_t> order;
  const std::int64_t        columns = roundUp(m_In, channelBlock);
  for (std::int64_t number = 0; number < voxelsOf(stride); ++number)
  {
    Phase phase{ { number % stride[0], number / stride[0] % stride[1], number / stride[0] / stride[1] },
                 {},
                 static_cast<std::ptrdiff_t>(order.size()) * m_Out * columns };
    for (std::size_t tap = 0; tap < m_TapPlaces.size(); ++tap)
    {
      bool meets = true;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        meets = meets && (phase.first[axis] + m_Unit.padding[axis] - m_TapPlaces[tap][axis]) % m_Unit.stride[axis] == 0;
      }
      if (meets)
      {
        phase.taps.push_back(tap);
        order.push_back(static_cast<std::int64_t>(tap));
      }
    }
    m_Phases.push_back(std::move(phase));
  }
  m_TransposedWeights = padLast(m_Weights.transpose(1, 2).index_select(0, at::tensor(order, at::kLong)), columns);
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

void
ConvolutionUnit::extend(LayerLayout & layout) const
{
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const double half = 0.5 * static_cast<double>(m_Unit.dilation[axis] * (m_Unit.kernel[axis] - 1));
    layout.offset[axis] += layout.stride[axis] * (half - static_cast<double>(m_Unit.padding[axis]));
    layout.reach[axis] += layout.stride[axis] * half;
    layout.stride[axis] *= static_cast<double>(m_Unit.stride[axis]);
  }
}

void
ConvolutionUnit::convolve(const Work & work, const TaskLoop & loop) const
{
  switch (m_Kind)
  {
    case Kind::Spectral:
      return convolveSpectrally(work, false, loop);
    case Kind::Single:
      return forwardSingle(work, loop);
    case Kind::General:
      return forwardGenerally(work, loop);
  }
}

void
ConvolutionUnit::forward(const Volumes & volumes, const TaskLoop & loop) const
{
  convolve({ volumes, { 0, volumes.size[2] }, { 0, outputSize(volumes.size)[2] } }, loop);
}

ConvolutionUnit::Slices
ConvolutionUnit::inputSlices(const Size & size, const Slices & output) const
{
  const std::int64_t first = output.begin * m_Unit.stride[2] - m_Unit.padding[2];
  const std::int64_t last = (output.end - 1) * m_Unit.stride[2] - m_Unit.padding[2] + reach();
  return { std::clamp<std::int64_t>(first, 0, size[2] - 1), std::clamp<std::int64_t>(last + 1, 1, size[2]) };
}

void
ConvolutionUnit::forwardSlices(const Volumes & volumes, const Slices & slices, const TaskLoop & loop) const
{
  const Work work{ volumes, inputSlices(volumes.size, slices), slices };
  if (m_Kind == Kind::Spectral && voxelsOf(volumes.size) <= fewVoxels)
  {
    return forwardGenerally(work, loop);
  }
  convolve(work, loop);
}

void
ConvolutionUnit::backward(const float *    gradient,
                          std::int64_t     count,
                          const Size &     size,
                          float *          inputGradient,
                          const TaskLoop & loop) const
{
  if (m_Kind == Kind::Spectral)
  {
    const Slices all{ 0, size[2] };
    return convolveSpectrally({ { gradient, nullptr, count, size, inputGradient }, all, all }, true, loop);
  }
  const std::int64_t in = voxelsOf(size) * m_In;
  const std::int64_t out = voxelsOf(outputSize(size)) * m_Out;
  loop.run(count, [&](std::int64_t n, ChainWorkspace & workspace) {
    if (m_Kind == Kind::Single)
    {
      backwardSingle(gradient + n * out, size, inputGradient + n * in, workspace);
    }
    else
    {
      backwardGenerally(gradient + n * out, size, inputGradient + n * in, workspace);
    }
  });
}

Moments
ConvolutionUnit::momentsOf(const float * output, std::int64_t voxels) const
{
  // Chunks of a fixed size, added up in order.
  constexpr std::int64_t chunk = voxelsOfMoments;
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
  const auto          slope = static_cast<float>(m_Unit.slope);
  const float * const gain = m_Scale.const_data_ptr<float>();
  const float * const offset = m_Shift.const_data_ptr<float>();
  if (!isNormalizedByInstance())
  {
    return { gain, offset, nullptr, nullptr, slope };
  }
  volumeKernels().normalization(moments.mean.data(),
                                moments.squares.data(),
                                moments.voxels,
                                m_Unit.epsilon,
                                gain,
                                offset,
                                static_cast<std::int32_t>(m_Out),
                                storage);
  return { storage, storage + m_Out, storage + 2 * m_Out, storage + 3 * m_Out, slope };
}

ChannelMap
ConvolutionUnit::mapOf(const float * output, std::int64_t voxels, float * storage, ChainWorkspace & workspace) const
{
  Moments & moments = workspace.moments;
  if (isNormalizedByInstance())
  {
    moments.of(output, std::min(voxelsOfMoments, voxels), m_Out);
    for (std::int64_t begin = voxelsOfMoments; begin < voxels; begin += voxelsOfMoments)
    {
      Moments part;
      part.of(output + begin * m_Out, std::min(voxelsOfMoments, voxels - begin), m_Out);
      moments.add(part);
    }
  }
  return mapFrom(moments, storage);
}

} // namespace impact
