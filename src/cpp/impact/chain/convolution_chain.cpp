#include "impact/chain/convolution_chain.h"

#include "impact/base/error.h"

#include <algorithm>
#include <cstdlib>
#include <string>

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

// What a patch may take on its way through the chain; larger ones go through torch, one at a time.
constexpr std::int64_t bytesPerPatch = std::int64_t{ 1 } << 28;

// What is kept of patches for the way back; the rest is made anew there.
constexpr std::size_t bytesKept = std::size_t{ 1 } << 30;

ConvolutionChain::Size
sizeOf(const at::Tensor & image)
{
  ConvolutionChain::Size size{ 1, 1, 1 };
  for (std::int64_t axis = 0; axis < image.dim(); ++axis)
  {
    size[static_cast<std::size_t>(axis)] = image.size(image.dim() - 1 - axis);
  }
  return size;
}

/** What the next unit, or the user of the layer, sees of raw outputs. */
void
applyTo(at::Tensor & layer, const ChannelMap & map, std::int64_t padded)
{
  const std::int64_t     channels = layer.size(1);
  const std::int64_t     voxels = layer.numel() / channels;
  float * const          values = layer.data_ptr<float>();
  constexpr std::int64_t chunk = 8192;
  inParallel((voxels + chunk - 1) / chunk, [&](std::int64_t c) {
    const std::int64_t count = std::min(chunk, voxels - c * chunk);
    float * const      x = values + c * chunk * channels;
    if (channels == padded)
    {
      volumeKernels().apply(x, count, static_cast<std::int32_t>(channels), map, x);
      return;
    }
    for (std::int64_t i = 0; i < count * channels; ++i)
    {
      const std::int64_t channel = i % channels;
      const float        y = map.scale[channel] * x[i] + map.shift[channel];
      x[i] = y > 0.0F ? y : map.slope * y;
    }
  });
}

/** Whoever doubts a result, or measures, may have torch run all networks. */
bool
chainsAreWanted()
{
  static const bool wanted = [] {
    const char * const given = std::getenv("IMPACT_CHAINS");
    const std::string  value = given ? given : "";
    if (!value.empty() && value != "on" && value != "off")
    {
      throw Error("The environment variable IMPACT_CHAINS is \"" + value +
                  "\". Allowed: on, chains of convolutions run in the plugin's own code where they can; off, all "
                  "networks run in torch; or unset, which is on.");
    }
    return value != "off";
  }();
  return wanted;
}

float
rectified(float value, float slope)
{
  return value > 0.0F ? value : slope * value;
}

} // namespace

/** A few patches at a unit of the chain. */
struct ConvolutionChain::AtUnit
{
  FloatBuffer             output; // as the convolution made it
  FloatBuffer             storage;
  std::vector<ChannelMap> maps; // one per patch
  float *                 values{ nullptr };
};

/** A few patches at every unit of the chain. What a quick first unit gives is made anew rather than fetched from
 * memory: it is kept for the block that a thread is at. */
struct ConvolutionChain::Block
{
  std::vector<AtUnit> units;
};

/** What one thread at a time works with, on its way through the chain with a block of patches. */
struct ConvolutionChain::Workspace
{
  ChainWorkspace             ofUnits;
  Block                      block;     // where it is not kept
  FloatBuffer                quick;     // the output of a quick first unit
  std::array<FloatBuffer, 2> gradients; // with respect to the output of a unit, and to its input
};

ConvolutionChain::Tape::Tape() = default;
ConvolutionChain::Tape::~Tape() = default;

ConvolutionChain::ConvolutionChain(const ChainDescription & description, int dimension)
  : m_Dimension(dimension)
  , m_Outputs(description.outputs)
  , m_OfTasks(std::make_unique<Pool<ChainWorkspace>>())
  , m_OfBlocks(std::make_unique<Pool<Workspace>>())
{
  for (const ChainUnit & unit : description.units)
  {
    m_Units.push_back(std::make_unique<ConvolutionUnit>(unit, m_Units.empty()));
  }
}

ConvolutionChain::~ConvolutionChain() = default;

std::shared_ptr<const ConvolutionChain>
ConvolutionChain::make(const ChainDescription & description, int dimension, int numberOfChannels)
{
  spectralKernels(); // says what is wrong with the environment, if anything, before anything is run
  const at::Tensor & first = description.units.front().weight;
  if (!chainsAreWanted() || first.dim() != dimension + 2 || first.size(1) != numberOfChannels)
  {
    return nullptr;
  }
  return std::shared_ptr<const ConvolutionChain>(new ConvolutionChain(description, dimension));
}

std::vector<ConvolutionChain::Size>
ConvolutionChain::sizes(const Size & input) const
{
  std::vector<Size> result{ input };
  for (const auto & unit : m_Units)
  {
    result.push_back(unit->outputSize(result.back()));
  }
  return result;
}

bool
ConvolutionChain::accepts(const Size & size) const
{
  // A mean over a single voxel is refused by torch, too.
  const auto all = sizes(size);
  return std::all_of(all.begin(), all.end(), [](const Size & s) { return voxelsOf(s) > 1; });
}

bool
ConvolutionChain::acceptsPatches(const Size & size) const
{
  const auto   all = sizes(size);
  std::int64_t bytes = 0;
  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    bytes += voxelsOf(all[u + 1]) * m_Units[u]->paddedChannels() * static_cast<std::int64_t>(sizeof(float));
  }
  return accepts(size) && bytes <= bytesPerPatch;
}

std::vector<ConvolutionChain::Size>
ConvolutionChain::layerSizes(const Size & input) const
{
  const auto        all = sizes(input);
  std::vector<Size> result;
  for (const std::size_t unit : m_Outputs)
  {
    result.push_back(all[unit + 1]);
  }
  return result;
}

std::vector<ConvolutionChain::Layer>
ConvolutionChain::description() const
{
  std::vector<Layer> ofUnits;
  LayerLayout        layout;
  for (const auto & unit : m_Units)
  {
    unit->extend(layout);
    ofUnits.push_back({ unit->channels(), layout });
  }
  std::vector<Layer> result;
  for (const std::size_t unit : m_Outputs)
  {
    result.push_back(ofUnits[unit]);
  }
  return result;
}

std::vector<at::Tensor>
ConvolutionChain::layers(const at::Tensor & image) const
{
  std::vector<Part> parts;
  for (const Size & size : layerSizes(sizeOf(image)))
  {
    parts.push_back({ {}, size });
  }
  return layers(image, parts);
}

void
ConvolutionChain::copyPart(const float * slices,
                           const Size &  size,
                           std::int64_t  firstSlice,
                           const Part &  part,
                           std::int64_t  padded,
                           at::Tensor &  to) const
{
  const std::int64_t channels = to.size(1);
  const std::int64_t begin = std::max(firstSlice, part.begin[2]);
  const std::int64_t end = std::min(size[2], part.begin[2] + part.size[2]);
  float * const      first = to.data_ptr<float>();
  inParallel(std::max<std::int64_t>(0, end - begin) * part.size[1], [&](std::int64_t row) {
    const std::int64_t z = begin + row / part.size[1];
    const std::int64_t y = row % part.size[1];
    const float * from = slices + (((z - firstSlice) * size[1] + part.begin[1] + y) * size[0] + part.begin[0]) * padded;
    float *       at = first + ((z - part.begin[2]) * part.size[1] + y) * part.size[0] * channels;
    if (channels == padded)
    {
      std::copy_n(from, part.size[0] * channels, at);
      return;
    }
    for (std::int64_t x = 0; x < part.size[0]; ++x, from += padded, at += channels)
    {
      std::copy_n(from, channels, at);
    }
  });
}

std::vector<at::Tensor>
ConvolutionChain::layers(const at::Tensor & image, const std::vector<Part> & parts) const
{
  constexpr std::int64_t slicesAtOnce = 12; // two tiles of convolveSpectrally

  const at::Tensor        grey = image.contiguous();
  const auto              all = sizes(sizeOf(grey));
  std::vector<at::Tensor> results(m_Outputs.size());

  // What is known of the unit before the present one: its output, whole or to be made again, and what becomes of it.
  const float *      whole = grey.const_data_ptr<float>();
  at::Tensor         kept = grey;
  ChannelMap         map{};
  std::vector<float> mapStorage;
  FloatBuffer        inputSlices;
  FloatBuffer        outputSlices;
  ChainWorkspace     own;
  const TaskLoop     loop(own, m_OfTasks.get());

  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    const ConvolutionUnit & unit = *m_Units[u];
    const Size &            size = all[u + 1];
    const std::int64_t      padded = unit.paddedChannels();
    const std::int64_t      perSlice = size[0] * size[1] * padded;
    const bool              isLast = u + 1 == m_Units.size();
    const bool              again = u > 0 && !whole; // the unit before is quick: its slices are made again

    std::vector<std::size_t> wanted;
    for (std::size_t layer = 0; layer < m_Outputs.size(); ++layer)
    {
      if (m_Outputs[layer] == u)
      {
        wanted.push_back(layer);
        std::vector<std::int64_t> shape{ 1 };
        for (auto axis = static_cast<std::size_t>(m_Dimension); axis-- > 0;)
        {
          shape.push_back(parts[layer].size[axis]);
        }
        shape.push_back(unit.channels());
        results[layer] = at::empty(shape, at::kFloat).movedim(-1, 1);
      }
    }
    const bool       keep = !isLast && !(u == 0 && unit.isQuick());
    const at::Tensor output = keep ? at::empty({ size[2] * perSlice }, at::kFloat) : at::Tensor();

    Moments moments;
    for (std::int64_t first = 0; first < size[2]; first += slicesAtOnce)
    {
      const ConvolutionUnit::Slices slices{ first, std::min(size[2], first + slicesAtOnce) };
      const auto                    from = unit.inputSlices(all[u], slices);
      const float *                 input = nullptr;
      if (again)
      {
        const ConvolutionUnit & before = *m_Units[u - 1];
        const std::int64_t      perInputSlice = all[u][0] * all[u][1] * before.paddedChannels();
        float * const       made = inputSlices.get(static_cast<std::size_t>((from.end - from.begin) * perInputSlice));
        const auto          itsInput = before.inputSlices(all[u - 1], from);
        const float * const itsSlices = grey.const_data_ptr<float>() + itsInput.begin * all[0][0] * all[0][1];
        before.forwardSlices({ itsSlices, nullptr, 1, all[u - 1], made }, from, loop);
        input = made;
      }
      else
      {
        const std::int64_t inputChannels = u > 0 ? m_Units[u - 1]->paddedChannels() : 1;
        input = whole + from.begin * all[u][0] * all[u][1] * inputChannels;
      }
      const auto    count = static_cast<std::size_t>((slices.end - slices.begin) * perSlice);
      float * const to = keep ? output.data_ptr<float>() + first * perSlice : outputSlices.get(count);
      unit.forwardSlices({ input, u > 0 ? &map : nullptr, 1, all[u], to }, slices, loop);
      if (unit.isNormalizedByInstance())
      {
        moments.add(unit.momentsOf(to, static_cast<std::int64_t>(count) / padded));
      }
      for (const std::size_t layer : wanted)
      {
        const Size upTo{ size[0], size[1], slices.end };
        copyPart(to, upTo, first, parts[layer], padded, results[layer]);
      }
    }
    std::vector<float> storage(static_cast<std::size_t>(4 * padded));
    map = unit.mapFrom(moments, storage.data());
    mapStorage = std::move(storage);
    for (const std::size_t layer : wanted)
    {
      applyTo(results[layer], map, padded);
    }
    whole = keep ? output.const_data_ptr<float>() : nullptr;
    kept = output;
  }
  return results;
}

std::int64_t
ConvolutionChain::bytesOfImage(const Size & size) const
{
  const auto   all = sizes(size);
  std::int64_t results = 0; // all in numbers of floats
  std::int64_t before = 0;
  std::int64_t most = 0;
  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    results += std::count(m_Outputs.begin(), m_Outputs.end(), u) * voxelsOf(all[u + 1]) * m_Units[u]->channels();
    const std::int64_t output = voxelsOf(all[u + 1]) * m_Units[u]->paddedChannels();
    most = std::max(most, results + before + output);
    before = output;
  }
  return most * static_cast<std::int64_t>(sizeof(float));
}

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
