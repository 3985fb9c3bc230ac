#include "impact/chain/chain_blocks.h"

#include <algorithm>

// The features of patches, and the way back.

namespace impact
{
namespace
{

/** So many go through the chain together: a function of their size alone, so that results do not depend on threads. */
std::int64_t
patchesPerBlock(const ConvolutionChain::Size & patch)
{
  return std::clamp<std::int64_t>((std::int64_t{ 1 } << 15) / voxelsOf(patch), 1, 8);
}

// What is kept of patches for the way back; the rest is made anew there.
constexpr std::size_t bytesKept = std::size_t{ 1 } << 30;

float
rectified(float value, float slope)
{
  return value > 0.0F ? value : slope * value;
}

} // namespace

void
ConvolutionChain::passUnit(std::size_t               u,
                           const float *             patches,
                           std::int64_t              count,
                           const std::vector<Size> & sizes,
                           bool                      again,
                           Block &                   block,
                           Workspace &               workspace) const
{
  const ConvolutionUnit & unit = *m_Units[u];
  AtUnit &                at = block.units[u];
  const AtUnit * const    before = u > 0 ? &block.units[u - 1] : nullptr;
  const std::int64_t      channels = unit.paddedChannels();
  const std::int64_t      voxels = voxelsOf(sizes[u + 1]);
  FloatBuffer &           output = u == 0 && unit.isQuick() ? workspace.quick : at.output;
  at.values = output.get(static_cast<std::size_t>(count * voxels * channels));
  const float * const input = before ? before->values : patches;
  unit.forward({ input, before ? before->maps.data() : nullptr, count, sizes[u], at.values },
               TaskLoop(workspace.ofUnits));
  if (again)
  {
    return;
  }
  at.maps.resize(static_cast<std::size_t>(count));
  float * const storage = at.storage.get(static_cast<std::size_t>(4 * count * channels));
  for (std::int64_t n = 0; n < count; ++n)
  {
    at.maps[static_cast<std::size_t>(n)] =
      unit.mapOf(at.values + n * voxels * channels, voxels, storage + 4 * n * channels, workspace.ofUnits);
  }
}

std::vector<at::Tensor>
ConvolutionChain::patchFeatures(const at::Tensor &         patches,
                                const Size &               size,
                                const std::vector<Place> & places,
                                Tape *                     tape) const
{
  const auto              all = sizes(size);
  const std::int64_t      number = patches.size(0);
  const std::int64_t      perBlock = patchesPerBlock(size);
  const std::int64_t      numberOfBlocks = (number + perBlock - 1) / perBlock;
  std::vector<at::Tensor> features;
  std::vector<float *>    to;
  for (const std::size_t unit : m_Outputs)
  {
    features.push_back(at::empty({ number, m_Units[unit]->channels() }, at::kFloat));
    to.push_back(features.back().data_ptr<float>());
  }
  if (tape)
  {
    std::size_t bytesPerBlock = 0;
    for (std::size_t u = m_Units.front()->isQuick() ? 1 : 0; u < m_Units.size(); ++u)
    {
      bytesPerBlock +=
        static_cast<std::size_t>(perBlock * voxelsOf(all[u + 1]) * m_Units[u]->paddedChannels()) * sizeof(float);
    }
    tape->m_Kept =
      std::min(static_cast<std::size_t>(numberOfBlocks), bytesKept / std::max<std::size_t>(1, bytesPerBlock));
    while (tape->m_Blocks.size() < tape->m_Kept)
    {
      tape->m_Blocks.push_back(std::make_unique<Block>());
    }
  }
  const float * const from = patches.const_data_ptr<float>();
  inParallel(numberOfBlocks, [&](std::int64_t b) {
    const Pool<Workspace>::Loan workspace(*m_OfBlocks);
    const bool                  kept = tape && static_cast<std::size_t>(b) < tape->m_Kept;
    Block &                     block = kept ? *tape->m_Blocks[static_cast<std::size_t>(b)] : (*workspace).block;
    const std::int64_t          first = b * perBlock;
    const std::int64_t          count = std::min(perBlock, number - first);
    block.units.resize(m_Units.size());
    for (std::size_t u = 0; u < m_Units.size(); ++u)
    {
      passUnit(u, from + first * voxelsOf(size), count, all, false, block, *workspace);
    }
    for (std::size_t layer = 0; layer < m_Outputs.size(); ++layer)
    {
      const std::size_t  u = m_Outputs[layer];
      const AtUnit &     at = block.units[u];
      const std::int64_t channels = m_Units[u]->channels();
      const std::int64_t padded = m_Units[u]->paddedChannels();
      for (std::int64_t n = 0; n < count; ++n)
      {
        const ChannelMap & map = at.maps[static_cast<std::size_t>(n)];
        float * const      row = to[layer] + (first + n) * channels;
        std::fill_n(row, channels, 0.0F);
        for (const auto & [voxel, weight] : places[layer])
        {
          const float * const values = at.values + (n * voxelsOf(all[u + 1]) + voxel) * padded;
          for (std::int64_t c = 0; c < channels; ++c)
          {
            row[c] += weight * rectified(map.scale[c] * values[c] + map.shift[c], map.slope);
          }
        }
      }
    }
  });
  return features;
}

void
ConvolutionChain::pullBackLast(const AtUnit &                     at,
                               std::int64_t                       first,
                               std::int64_t                       count,
                               std::int64_t                       voxels,
                               const std::vector<Place> &         places,
                               const std::vector<const float *> & from,
                               float *                            gradient) const
{
  const ConvolutionUnit & unit = *m_Units.back();
  const std::int64_t      padded = unit.paddedChannels();

  std::vector<std::int64_t> numbers;
  std::vector<float>        given;
  for (std::int64_t n = 0; n < count; ++n)
  {
    numbers.clear();
    given.clear();
    for (std::size_t layer = 0; layer < m_Outputs.size(); ++layer)
    {
      if (m_Outputs[layer] + 1 != m_Units.size())
      {
        continue;
      }
      const float * const row = from[layer] + (first + n) * unit.channels();
      for (const auto & [voxel, weight] : places[layer])
      {
        numbers.push_back(voxel);
        for (std::int64_t c = 0; c < padded; ++c)
        {
          given.push_back(c < unit.channels() ? weight * row[c] : 0.0F);
        }
      }
    }
    volumeKernels().applyBackFrom(at.values + n * voxels * padded,
                                  voxels,
                                  static_cast<std::int32_t>(padded),
                                  at.maps[static_cast<std::size_t>(n)],
                                  numbers.data(),
                                  static_cast<std::int32_t>(numbers.size()),
                                  given.data(),
                                  gradient + n * voxels * padded);
  }
}

at::Tensor
ConvolutionChain::pullBackToIntensities(const at::Tensor &              patches,
                                        const Size &                    size,
                                        const std::vector<Place> &      places,
                                        Tape &                          tape,
                                        const std::vector<at::Tensor> & featureGradients) const
{
  std::for_each(m_Units.begin(), m_Units.end(), [](const auto & unit) { unit->prepareBackward(); });
  const auto                 all = sizes(size);
  const std::int64_t         number = patches.size(0);
  const std::int64_t         perBlock = patchesPerBlock(size);
  const std::int64_t         numberOfBlocks = (number + perBlock - 1) / perBlock;
  const at::Tensor           result = at::empty_like(patches);
  std::vector<at::Tensor>    dense;
  std::vector<const float *> from;
  for (const at::Tensor & gradient : featureGradients)
  {
    dense.push_back(gradient.contiguous());
    from.push_back(dense.back().const_data_ptr<float>());
  }
  std::int64_t largest = 0;
  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    largest = std::max(largest, voxelsOf(all[u + 1]) * m_Units[u]->paddedChannels());
  }
  const float * const input = patches.const_data_ptr<float>();
  float * const       output = result.data_ptr<float>();
  inParallel(numberOfBlocks, [&](std::int64_t b) {
    const Pool<Workspace>::Loan loan(*m_OfBlocks);
    Workspace &                 workspace = *loan;
    const std::int64_t          first = b * perBlock;
    const std::int64_t          count = std::min(perBlock, number - first);
    const bool                  kept = static_cast<std::size_t>(b) < tape.m_Kept;
    Block &                     block = kept ? *tape.m_Blocks[static_cast<std::size_t>(b)] : workspace.block;
    block.units.resize(m_Units.size());
    const std::size_t missing = kept ? (m_Units.front()->isQuick() ? 1 : 0) : m_Units.size();
    for (std::size_t u = 0; u < missing; ++u)
    {
      passUnit(u, input + first * voxelsOf(size), count, all, kept, block, workspace);
    }
    float * gradient = workspace.gradients[0].get(static_cast<std::size_t>(count * largest));
    float * next = workspace.gradients[1].get(static_cast<std::size_t>(count * largest));
    for (std::size_t u = m_Units.size(); u-- > 0;)
    {
      const ConvolutionUnit & unit = *m_Units[u];
      const AtUnit &          at = block.units[u];
      const std::int64_t      padded = unit.paddedChannels();
      const std::int64_t      perPatch = voxelsOf(all[u + 1]) * padded;
      if (u + 1 == m_Units.size())
      {
        pullBackLast(at, first, count, voxelsOf(all[u + 1]), places, from, gradient);
      }
      for (std::size_t layer = 0; u + 1 < m_Units.size() && layer < m_Outputs.size(); ++layer)
      {
        for (std::int64_t n = 0; m_Outputs[layer] == u && n < count; ++n)
        {
          const float * const row = from[layer] + (first + n) * unit.channels();
          for (const auto & [voxel, weight] : places[layer])
          {
            float * const to = gradient + n * perPatch + voxel * padded;
            for (std::int64_t c = 0; c < unit.channels(); ++c)
            {
              to[c] += weight * row[c];
            }
          }
        }
      }
      for (std::int64_t n = 0; u + 1 < m_Units.size() && n < count; ++n)
      {
        volumeKernels().applyBack(at.values + n * perPatch,
                                  voxelsOf(all[u + 1]),
                                  static_cast<std::int32_t>(padded),
                                  at.maps[static_cast<std::size_t>(n)],
                                  gradient + n * perPatch);
      }
      float * const toInput = u == 0 ? output + first * voxelsOf(size) : next;
      unit.backward(gradient, count, all[u], toInput, TaskLoop(workspace.ofUnits));
      std::swap(gradient, next);
    }
  });
  return result;
}

} // namespace impact
