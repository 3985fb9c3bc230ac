#include "impact/chain/channels_last.h"
#include "impact/chain/convolution_chain.h"

#include <algorithm>
#include <iterator>

// The layers of whole images.

namespace impact
{
namespace
{

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

} // namespace

/** What a chain is given: a grey image, or the channels of one, side by side or not yet. */
struct ConvolutionChain::Given
{
  std::vector<at::Tensor> images;   // 1 x C x (z) x y x x, of one size
  std::int64_t            channels; // that the first unit wants: of one the image is grey, and contiguous
  at::Tensor              gathered; // some slices

  Size
  size() const
  {
    Size             size{ 1, 1, 1 };
    const at::Tensor first = images.front();
    for (std::int64_t axis = 0; axis < first.dim() - 2; ++axis)
    {
      size[static_cast<std::size_t>(axis)] = first.size(first.dim() - 1 - axis);
    }
    return size;
  }

  const float *
  slices(const ConvolutionUnit::Slices & wanted)
  {
    std::vector<at::Tensor> some;
    for (const at::Tensor & image : images)
    {
      some.push_back(image.dim() > 4 ? image.narrow(2, wanted.begin, wanted.end - wanted.begin) : image);
    }
    gathered = channels == 1 ? some.front() : channelsLast(some, channels);
    return gathered.const_data_ptr<float>();
  }
};

at::Tensor
ConvolutionChain::last(std::vector<at::Tensor> parts) const
{
  if (const std::int64_t count = parts.front().size(0); count != 1)
  {
    std::vector<at::Tensor> results;
    for (std::int64_t n = 0; n < count; ++n)
    {
      std::vector<at::Tensor> ofOne;
      std::transform(parts.begin(), parts.end(), std::back_inserter(ofOne), [n](const at::Tensor & part) {
        return part.narrow(0, n, 1);
      });
      results.push_back(last(std::move(ofOne)));
    }
    return at::cat(results);
  }
  const std::int64_t channels = m_Units.front()->inputChannels();
  if (channels == 1)
  {
    parts.front() = parts.front().contiguous();
  }
  Given      given{ std::move(parts), channels, {} };
  const auto all = sizes(given.size());
  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    const auto [x, y, z] = all[u + 1];
    TORCH_CHECK(x > 0 && y > 0 && z > 0, "images are smaller than the kernels of convolutions");
    TORCH_CHECK(x * y * z > 1 || !m_Units[u]->isNormalizedByInstance(), "an image of one voxel has no deviation");
  }
  const Size size = all[m_Outputs.back() + 1];
  return layers(std::move(given), { Part{ {}, size } }).back();
}

std::vector<at::Tensor>
ConvolutionChain::layers(const at::Tensor & image, const std::vector<Part> & parts) const
{
  return layers(Given{ { image.contiguous().unsqueeze(0).unsqueeze(0) }, 1, {} }, parts);
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
ConvolutionChain::layers(Given given, const std::vector<Part> & parts) const
{
  constexpr std::int64_t slicesAtOnce = 12; // two tiles of convolveSpectrally

  const auto              all = sizes(given.size());
  std::vector<at::Tensor> results(m_Outputs.size());

  // What is known of the unit before the present one: its output, whole or to be made again, and what becomes of it.
  const float *      whole = nullptr;
  at::Tensor         kept;
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
        float * const made = inputSlices.get(static_cast<std::size_t>((from.end - from.begin) * perInputSlice));
        const auto    itsInput = before.inputSlices(all[u - 1], from);
        before.forwardSlices({ given.slices(itsInput), nullptr, 1, all[u - 1], made }, from, loop);
        input = made;
      }
      else
      {
        input = u > 0 ? whole + from.begin * all[u][0] * all[u][1] * unit.inputChannels() : given.slices(from);
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
    if (whole)
    {
      given.images.clear();
      given.gathered.reset();
    }
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

} // namespace impact
