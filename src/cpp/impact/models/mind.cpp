#include "impact/models/mind.h"

#include "impact/kernels/processor.h"
#include "impact/runtime/torch_tasks.h"

#include <algorithm>
#include <vector>

namespace impact
{
namespace
{

constexpr std::int64_t most = 16; // voxels of radius or dilation: beyond, blocks leave the cache

// A block's squares stay in the cache; of fewer lines or slices, too many would be of its border alone.
constexpr std::int64_t linesAtOnce = 8;
constexpr std::int64_t slicesAtOnce = 32;

std::optional<std::int64_t>
integerOf(const torch::jit::Module & module, const char * name)
{
  return module.hasattr(name) && module.attr(name).isInt() ? std::optional(module.attr(name).toInt()) : std::nullopt;
}

} // namespace

std::optional<Mind>
Mind::of(const torch::jit::Module & module)
{
  const auto radius = integerOf(module, "radius");
  const auto dilation = integerOf(module, "dilation");
  const auto dimension = integerOf(module, "dimension");
  if (!module.type()->name() || module.type()->name()->name() != "MindSSC" || !radius || !dilation || !dimension ||
      *radius < 0 || *radius > most || *dilation < 1 || *dilation > most || (*dimension != 2 && *dimension != 3))
  {
    return std::nullopt;
  }
  Mind found;
  found.m_Radius = *radius;
  found.m_Dilation = *dilation;
  found.m_Dimension = static_cast<int>(*dimension);
  return found;
}

at::Tensor
Mind::operator()(const at::Tensor & images) const
{
  std::vector<std::int64_t> shape = images.sizes().vec();
  shape.erase(shape.begin() + 1);
  shape.push_back(channels());
  at::Tensor result = at::empty(shape, at::kFloat);
  for (std::int64_t n = 0; n < images.size(0); ++n)
  {
    ofImage(images.narrow(0, n, 1), result.select(0, n).data_ptr<float>());
  }
  return result.movedim(-1, 1);
}

std::int64_t
Mind::bytesOf(const std::array<std::int64_t, 3> & size) const
{
  std::int64_t voxels = 1;
  std::int64_t withBorder = 1;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(m_Dimension); ++axis)
  {
    voxels *= size[axis];
    withBorder *= size[axis] + 2 * (m_Radius + m_Dilation);
  }
  return static_cast<std::int64_t>(sizeof(float)) * (voxels * (1 + channels()) + withBorder);
}

void
Mind::ofImage(const at::Tensor & image, float * const to) const
{
  const MindKernels & kernels = mindKernels();
  const std::int64_t  depth = m_Dimension == 3 ? image.size(2) : 1;
  const std::int64_t  height = image.size(-2);
  const std::int64_t  border = m_Radius + m_Dilation;

  MindPlan plan{};
  plan.channels = static_cast<std::int32_t>(channels());
  plan.radius = static_cast<std::int32_t>(m_Radius);
  plan.slices = static_cast<std::int32_t>(m_Dimension == 3 ? 2 * m_Radius + 1 : 1);
  plan.width = static_cast<std::int32_t>(image.size(-1));

  // The image goes on with the values at its edges.
  std::vector<std::int64_t> shape{ 1, 1 };
  std::int64_t              numbers = 1;
  for (std::int64_t axis = 2; axis < image.dim(); ++axis)
  {
    shape.push_back(image.size(axis) + 2 * border);
    numbers *= shape.back();
  }
  const at::Tensor room = at::zeros({ numbers + plan.beyond() }, at::kFloat);
  at::Tensor       padded = room.narrow(0, 0, numbers).view(shape);
  if (m_Dimension == 3)
  {
    at::replication_pad3d_out(padded, image, { border, border, border, border, border, border });
  }
  else
  {
    at::replication_pad2d_out(padded, image, { border, border, border, border });
  }

  // From an axis of the descriptor, the slowest first, to a step in that image.
  std::array<std::ptrdiff_t, 3> steps{};
  std::ptrdiff_t                corner = 0;
  for (int axis = 0; axis < m_Dimension; ++axis)
  {
    steps[static_cast<std::size_t>(axis)] = padded.stride(axis + 2) * m_Dilation;
    corner += steps[static_cast<std::size_t>(axis)];
  }
  plan.line = padded.stride(-2);
  plan.centre = corner;
  std::size_t channel = 0;
  for (std::size_t first = 0; first < static_cast<std::size_t>(m_Dimension); ++first)
  {
    for (std::size_t second = first + 1; second < static_cast<std::size_t>(m_Dimension); ++second)
    {
      for (const int sign : { -1, 1 })
      {
        for (const int other : { -1, 1 })
        {
          plan.first[channel] = corner + sign * steps[first];
          plan.second[channel] = corner + other * steps[second];
          ++channel;
        }
      }
    }
  }

  const float * const  from = padded.const_data_ptr<float>();
  const std::ptrdiff_t slice = m_Dimension == 3 ? padded.stride(2) : 0;
  const std::int64_t   blocksOfLines = (height + linesAtOnce - 1) / linesAtOnce;
  const std::int64_t   blocksOfSlices = (depth + slicesAtOnce - 1) / slicesAtOnce;
  torchInParallel(blocksOfLines * blocksOfSlices, [&](const std::int64_t block) {
    const std::int64_t y = block % blocksOfLines * linesAtOnce;
    const auto         lines = static_cast<std::int32_t>(std::min(linesAtOnce, height - y));
    const std::int64_t begin = block / blocksOfLines * slicesAtOnce;
    const std::int64_t end = std::min(depth, begin + slicesAtOnce);

    const std::ptrdiff_t squares = plan.squares(lines);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(lines) * plan.pitch();
    const std::ptrdiff_t scratch = 2 * (lines + 2 * plan.radius) * static_cast<std::ptrdiff_t>(plan.pitch());
    std::vector<float>   memory(static_cast<std::size_t>(plan.slices * squares + scratch + plan.beyond()));
    std::vector<float *> ring;
    for (std::int32_t i = 0; i < plan.slices; ++i)
    {
      ring.push_back(memory.data() + i * squares);
    }
    const at::Tensor features = at::empty({ (plan.channels + 1) * plane }, at::kFloat);
    float * const    exponents = features.data_ptr<float>();
    at::Tensor       ofChannels = features.narrow(0, 0, plan.channels * plane);

    for (std::int64_t z = begin - plan.slices + 1; z < end; ++z)
    {
      // The slice that is last in the patches of slice z of the result.
      std::rotate(ring.begin(), ring.begin() + 1, ring.end());
      kernels.squares(plan, from + (z + plan.slices - 1) * slice + y * plan.line, lines, ring.back());
      if (z >= begin)
      {
        kernels.exponents(plan, ring.data(), lines, memory.data() + plan.slices * squares, exponents);
        at::exp_(ofChannels);
        kernels.interleave(plan, exponents, lines, to + (z * height + y) * plan.width * plan.channels);
      }
    }
  });
}

} // namespace impact
