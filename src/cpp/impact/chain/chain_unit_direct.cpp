#include "impact/chain/chain_unit.h"

#include <algorithm>
#include <cstring>

namespace impact
{
namespace
{

constexpr std::int64_t rowsAtOnce = 8; // of VolumeKernels::multiplyRows

} // namespace

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

bool
ConvolutionUnit::isSmall(const Size & size) const
{
  bool threes = m_Kind == Kind::Single && m_Unit.dilation == Size{ 1, 1, 1 };
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const bool three = m_Unit.kernel[axis] == 3 && m_Unit.padding[axis] == 1;
    const bool one = axis == 2 && m_Unit.kernel[axis] == 1 && m_Unit.padding[axis] == 0;
    threes = threes && (three || one);
  }
  return threes && size[0] >= 2 && size[0] <= volumeKernels().longestLine;
}

SmallPlan
ConvolutionUnit::smallPlan(const Size & size) const
{
  return {
    { static_cast<std::int32_t>(size[0]), static_cast<std::int32_t>(size[1]), static_cast<std::int32_t>(size[2]) },
    static_cast<std::int32_t>(m_Unit.kernel[2]),
    m_Weights.const_data_ptr<float>(),
    m_Bias.defined() ? m_Bias.const_data_ptr<float>() : nullptr,
    static_cast<std::int32_t>(m_Out)
  };
}

void
ConvolutionUnit::forwardSingle(const Work & work, const TaskLoop & loop) const
{
  const auto & [volumes, from, slices] = work;
  const Size & size = volumes.size;
  if (isSmall(size) && slices.begin == 0 && slices.end == size[2])
  {
    const SmallPlan    plan = smallPlan(size);
    const std::int64_t voxels = voxelsOf(size);
    return loop.run(volumes.count, [&](std::int64_t n, ChainWorkspace & /*workspace*/) {
      volumeKernels().convolveSmall(plan, volumes.input + n * voxels, volumes.output + n * voxels * m_Out);
    });
  }
  // A copy of the slices that are read, with room for the padding.
  const Size         padded = paddedSize(size);
  const Size         out = outputSize(size);
  const auto         offsets = tapOffsets(padded);
  const std::int64_t depth = slices.end - slices.begin + reach();
  const auto         voxels = static_cast<std::size_t>(depth * padded[1] * padded[0]);
  float * const      copy = loop.own().volume.get(voxels);
  for (std::int64_t n = 0; n < volumes.count; ++n)
  {
    const float * const input = volumes.input + n * (from.end - from.begin) * size[1] * size[0];
    std::memset(copy, 0, voxels * sizeof(float));
    for (std::int64_t slice = 0; slice < depth; ++slice)
    {
      const std::int64_t z = slices.begin + slice - m_Unit.padding[2];
      for (std::int64_t y = 0; z >= 0 && z < size[2] && y < size[1]; ++y)
      {
        std::memcpy(copy + (slice * padded[1] + y + m_Unit.padding[1]) * padded[0] + m_Unit.padding[0],
                    input + ((z - from.begin) * size[1] + y) * size[0],
                    static_cast<std::size_t>(size[0]) * sizeof(float));
      }
    }
    const LinePlan     plan{ static_cast<std::int32_t>(out[0]),
                             static_cast<std::ptrdiff_t>(padded[0]),
                             offsets.data(),
                             static_cast<std::int32_t>(m_Taps),
                             m_Weights.const_data_ptr<float>(),
                             m_Bias.defined() ? m_Bias.const_data_ptr<float>() : nullptr,
                             static_cast<std::int32_t>(m_Out) };
    const std::int64_t number = slices.end - slices.begin;
    loop.run(number, [&](std::int64_t slice, ChainWorkspace & /*workspace*/) {
      volumeKernels().convolveLines(plan,
                                    copy + slice * padded[1] * padded[0],
                                    static_cast<std::int32_t>(out[1]),
                                    volumes.output + (n * number + slice) * out[1] * out[0] * m_Out);
    });
  }
}

void
ConvolutionUnit::backwardSingle(const float *    gradient,
                                const Size &     size,
                                float *          inputGradient,
                                ChainWorkspace & workspace) const
{
  if (isSmall(size))
  {
    return volumeKernels().convolveSmallBack(smallPlan(size), gradient, inputGradient);
  }
  const Size                  padded = paddedSize(size);
  const Size                  out = outputSize(size);
  const auto                  offsets = tapOffsets(padded);
  const std::int64_t          columns = m_TransposedWeights.size(1);
  const auto                  paddedVoxels = static_cast<std::size_t>(voxelsOf(padded));
  float * const               sums = workspace.volume.get(paddedVoxels + 1); // addTaps() writes one more
  float * const               products = workspace.products.get(static_cast<std::size_t>(rowsAtOnce * columns) + 1);
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
ConvolutionUnit::forwardGenerally(const Work & work, const TaskLoop & loop) const
{
  const auto & [volumes, from, slices] = work;
  const Size &             size = volumes.size;
  const Size               out = outputSize(size);
  const std::int64_t       inBegin = from.begin * size[0] * size[1];
  const std::int64_t       inVoxels = (from.end - from.begin) * size[0] * size[1];
  const std::int64_t       outBegin = slices.begin * out[0] * out[1];
  const std::int64_t       outVoxels = (slices.end - slices.begin) * out[0] * out[1];
  const std::vector<float> zeros(static_cast<std::size_t>(m_In), 0.0F);
  for (std::int64_t n = 0; n < volumes.count; ++n)
  {
    const float * volume = volumes.input + n * inVoxels * m_In;
    float * const output = volumes.output + n * outVoxels * m_Out;
    if (volumes.maps)
    {
      float * const          to = loop.own().volume.get(static_cast<std::size_t>(inVoxels * m_In));
      constexpr std::int64_t chunk = 4096;
      loop.run((inVoxels + chunk - 1) / chunk, [&, volume](std::int64_t c, ChainWorkspace & /*workspace*/) {
        volumeKernels().apply(volume + c * chunk * m_In,
                              std::min(chunk, inVoxels - c * chunk),
                              static_cast<std::int32_t>(m_In),
                              volumes.maps[n],
                              to + c * chunk * m_In);
      });
      volume = to;
    }
    loop.run((outVoxels + rowsAtOnce - 1) / rowsAtOnce, [&](std::int64_t block, ChainWorkspace & /*workspace*/) {
      std::vector<const float *>      rows(static_cast<std::size_t>(m_Taps * rowsAtOnce));
      std::array<float *, rowsAtOnce> to{};
      for (std::int64_t r = 0; r < rowsAtOnce; ++r)
      {
        const std::int64_t wanted = block * rowsAtOnce + r;
        const std::int64_t v = outBegin + std::min(wanted, outVoxels - 1); // in the whole output
        to[static_cast<std::size_t>(r)] = wanted < outVoxels ? output + wanted * m_Out : nullptr;
        const Size at{ v % out[0], v / out[0] % out[1], v / out[0] / out[1] };
        for (std::size_t tap = 0; tap < m_TapPlaces.size(); ++tap)
        {
          std::int64_t index = 0;
          bool         inside = true;
          for (std::size_t axis = 3; axis-- > 0;)
          {
            const std::int64_t i = at[axis] * m_Unit.stride[axis] + m_TapPlaces[tap][axis] - m_Unit.padding[axis];
            inside = inside && i >= 0 && i < size[axis];
            index = index * size[axis] + i;
          }
          rows[tap * rowsAtOnce + static_cast<std::size_t>(r)] =
            inside ? volume + (index - inBegin) * m_In : zeros.data();
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
ConvolutionUnit::backwardGenerally(const float *    gradient,
                                   const Size &     size,
                                   float *          inputGradient,
                                   ChainWorkspace & workspace) const
{
  const Size                      out = outputSize(size);
  const std::int64_t              columns = m_TransposedWeights.size(2);
  const std::vector<float>        zeros(static_cast<std::size_t>(m_Out), 0.0F);
  std::vector<const float *>      rows(static_cast<std::size_t>(m_Taps * rowsAtOnce));
  std::array<float *, rowsAtOnce> to{};
  float * const                   products = workspace.products.get(static_cast<std::size_t>(rowsAtOnce * columns));
  for (const Phase & phase : m_Phases)
  {
    Size number{};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const std::int64_t behind = size[axis] - phase.first[axis];
      number[axis] = behind < 1 ? 0 : (behind - 1) / m_Unit.stride[axis] + 1;
    }
    const std::int64_t voxels = voxelsOf(number);
    for (std::int64_t first = 0; first < voxels; first += rowsAtOnce)
    {
      const std::int64_t                   count = std::min(rowsAtOnce, voxels - first);
      std::array<std::int64_t, rowsAtOnce> places{}; // in the input
      for (std::int64_t r = 0; r < rowsAtOnce; ++r)
      {
        const std::int64_t v = first + std::min(r, count - 1);
        const Size         inPhase{ v % number[0], v / number[0] % number[1], v / number[0] / number[1] };
        Size               at{};
        for (std::size_t axis = 0; axis < 3; ++axis)
        {
          at[axis] = phase.first[axis] + inPhase[axis] * m_Unit.stride[axis];
        }
        places[static_cast<std::size_t>(r)] = (at[2] * size[1] + at[1]) * size[0] + at[0];
        to[static_cast<std::size_t>(r)] = products + r * columns;
        for (std::size_t i = 0; i < phase.taps.size(); ++i)
        {
          const Size & tap = m_TapPlaces[phase.taps[i]];
          std::int64_t index = 0;
          bool         inside = true;
          for (std::size_t axis = 3; axis-- > 0;)
          {
            const std::int64_t steps = (at[axis] + m_Unit.padding[axis] - tap[axis]) / m_Unit.stride[axis];
            inside = inside && steps >= 0 && steps < out[axis];
            index = index * out[axis] + steps;
          }
          rows[i * rowsAtOnce + static_cast<std::size_t>(r)] = inside ? gradient + index * m_Out : zeros.data();
        }
      }
      volumeKernels().multiplyRows(rows.data(),
                                   static_cast<std::int32_t>(phase.taps.size()),
                                   static_cast<std::int32_t>(m_Out),
                                   m_TransposedWeights.const_data_ptr<float>() + phase.weights,
                                   nullptr,
                                   static_cast<std::int32_t>(columns),
                                   to.data());
      for (std::int64_t r = 0; r < count; ++r)
      {
        std::copy_n(products + r * columns, m_In, inputGradient + places[static_cast<std::size_t>(r)] * m_In);
      }
    }
  }
}

} // namespace impact
