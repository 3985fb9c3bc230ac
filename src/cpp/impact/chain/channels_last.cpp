#include "impact/chain/channels_last.h"

#include "impact/base/workers.h"

#include <algorithm>

namespace impact
{
namespace
{

/** Copies one row of voxels.
 *
 * \param from the first channel of the first voxel, and the steps to the next channel and the next voxel */
void
copyRow(const float * from,
        std::int64_t  toChannel,
        std::int64_t  toVoxel,
        std::int64_t  channels,
        std::int64_t  voxels,
        float *       to,
        std::int64_t  pitch)
{
  for (std::int64_t x = 0; x < voxels && toChannel == 1; ++x)
  {
    std::copy_n(from + x * toVoxel, channels, to + x * pitch);
  }
  for (std::int64_t c = 0; c < channels && toChannel != 1; ++c)
  {
    for (std::int64_t x = 0; x < voxels; ++x)
    {
      to[x * pitch + c] = from[c * toChannel + x * toVoxel];
    }
  }
}

} // namespace

at::Tensor
channelsLast(const std::vector<at::Tensor> & parts, std::int64_t channels)
{
  const at::Tensor first = parts.front().select(0, 0).movedim(0, -1);
  if (parts.size() == 1 && first.size(-1) == channels && first.is_contiguous())
  {
    return first;
  }
  auto shape = first.sizes().vec();
  shape.back() = channels;
  const at::Tensor   result = at::empty(shape, at::kFloat);
  float * const      to = result.data_ptr<float>();
  const std::int64_t voxels = first.size(-2);
  const std::int64_t rowsOfSlice = first.dim() > 2 ? first.size(-3) : 1;
  std::int64_t       begin = 0;
  const auto         forEachRow = [&](const auto & action) { inParallel(result.numel() / channels / voxels, action); };
  for (const at::Tensor & part : parts)
  {
    const at::Tensor    each = part.select(0, 0);
    const std::int64_t  count = each.size(0);
    const float * const from = each.const_data_ptr<float>();
    const std::int64_t  toSlice = each.dim() > 3 ? each.stride(1) : 0;
    TORCH_CHECK(each.sizes().slice(1) == parts.front().sizes().slice(2) && begin + count <= channels,
                "parts of an image differ in size");
    forEachRow([&](std::int64_t row) {
      copyRow(from + row / rowsOfSlice * toSlice + row % rowsOfSlice * each.stride(-2),
              each.stride(0),
              each.stride(-1),
              count,
              voxels,
              to + row * voxels * channels + begin,
              channels);
    });
    begin += count;
  }
  forEachRow([&](std::int64_t row) {
    for (std::int64_t x = 0; x < voxels && begin < channels; ++x)
    {
      std::fill_n(to + (row * voxels + x) * channels + begin, channels - begin, 0.0F);
    }
  });
  return result;
}

} // namespace impact
