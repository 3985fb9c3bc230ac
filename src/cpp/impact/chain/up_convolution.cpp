#include "impact/chain/up_convolution.h"

#include "impact/base/workers.h"
#include "impact/chain/chain_kernels.h"
#include "impact/chain/channels_last.h"

#include <algorithm>

namespace impact
{
namespace
{

std::int64_t
roundUp(std::int64_t number)
{
  constexpr std::int64_t step = 32;
  return (number + step - 1) / step * step;
}

} // namespace

UpConvolution::UpConvolution(const ChainUnit & description)
  : m_Block(description.kernel)
  , m_In(roundUp(description.weight.size(0)))
  , m_Channels(description.weight.size(1))
{
  const at::Tensor weight = description.weight.flatten(2).movedim(-1, 1).flatten(1); // in x (voxel of the block, out)
  m_Columns = roundUp(weight.size(1));
  m_Weights = at::constant_pad_nd(weight, { 0, m_Columns - weight.size(1), 0, m_In - weight.size(0) }).contiguous();
  const at::Tensor bias = description.bias.defined() ? description.bias : at::zeros({ m_Channels }, at::kFloat);
  m_Bias = at::constant_pad_nd(bias.repeat({ weight.size(1) / m_Channels }), { 0, m_Columns - weight.size(1) });
}

at::Tensor
UpConvolution::of(const at::Tensor & images) const
{
  constexpr std::int64_t  rowsAtOnce = 8; // of VolumeKernels::multiplyRows
  constexpr std::int64_t  perTask = 8;    // of such
  std::vector<at::Tensor> results;
  for (std::int64_t n = 0; n < images.size(0); ++n)
  {
    const at::Tensor            image = channelsLast({ images.narrow(0, n, 1) }, m_In);
    std::array<std::int64_t, 3> size{ 1, 1, 1 };
    std::vector<std::int64_t>   shape{ 1 };
    for (std::int64_t axis = 0; axis < image.dim() - 1; ++axis)
    {
      const auto ofBlock = static_cast<std::size_t>(image.dim() - 2 - axis);
      size[ofBlock] = image.size(axis);
      shape.push_back(image.size(axis) * m_Block[ofBlock]);
    }
    shape.push_back(m_Channels);
    const at::Tensor    result = at::empty(shape, at::kFloat);
    const float * const from = image.const_data_ptr<float>();
    float * const       to = result.data_ptr<float>();
    const std::int64_t  voxels = image.numel() / m_In;
    const std::int64_t  width = size[0] * m_Block[0]; // of the result
    const std::int64_t  height = size[1] * m_Block[1];
    inParallel((voxels + rowsAtOnce * perTask - 1) / (rowsAtOnce * perTask), [&](std::int64_t task) {
      std::vector<float>                    products(static_cast<std::size_t>(rowsAtOnce * m_Columns));
      std::array<const float *, rowsAtOnce> rows{};
      std::array<float *, rowsAtOnce>       ofRows{};
      const std::int64_t                    end = std::min(voxels, (task + 1) * perTask * rowsAtOnce);
      for (std::int64_t first = task * perTask * rowsAtOnce; first < end; first += rowsAtOnce)
      {
        const std::int64_t count = std::min(rowsAtOnce, end - first);
        for (std::int64_t r = 0; r < rowsAtOnce; ++r)
        {
          rows[static_cast<std::size_t>(r)] = from + (first + std::min(r, count - 1)) * m_In;
          ofRows[static_cast<std::size_t>(r)] = products.data() + r * m_Columns;
        }
        volumeKernels().multiplyRows(rows.data(),
                                     1,
                                     static_cast<std::int32_t>(m_In),
                                     m_Weights.const_data_ptr<float>(),
                                     m_Bias.const_data_ptr<float>(),
                                     static_cast<std::int32_t>(m_Columns),
                                     ofRows.data());
        for (std::int64_t r = 0; r < count; ++r)
        {
          const std::int64_t v = first + r;
          const float *      product = ofRows[static_cast<std::size_t>(r)];
          const std::int64_t x = v % size[0] * m_Block[0];
          const std::int64_t y = v / size[0] % size[1] * m_Block[1];
          const std::int64_t z = v / size[0] / size[1] * m_Block[2];
          for (std::int64_t line = 0; line < m_Block[1] * m_Block[2]; ++line) // its voxels along x lie side by side
          {
            const std::int64_t at = ((z + line / m_Block[1]) * height + y + line % m_Block[1]) * width + x;
            std::copy_n(product, m_Block[0] * m_Channels, to + at * m_Channels);
            product += m_Block[0] * m_Channels;
          }
        }
      }
    });
    results.push_back(result.movedim(-1, 1));
  }
  return results.size() == 1 ? results.front() : at::cat(results);
}

} // namespace impact
