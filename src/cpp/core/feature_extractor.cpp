#include "feature_extractor.h"

#include "tiles.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace impact
{
namespace
{

/** Layouts for tiles: a layer whose reach cannot be measured is taken to see a quarter of a tile, and to be as large as
 * its input. \throws ParameterError for a layer finer than its input, or between whole strides. */
std::vector<LayerLayout>
tileLayouts(const ModelSettings & settings, const std::vector<std::optional<LayerLayout>> & measured)
{
  LayerLayout unknown;
  for (std::size_t axis = 0; axis < settings.patchSize.size(); ++axis)
  {
    unknown.reach[axis] = static_cast<double>(settings.patchSize[axis] / 4);
  }
  std::vector<LayerLayout> layouts;
  for (const auto & layout : measured)
  {
    layouts.push_back(layout.value_or(unknown));
    for (const double stride : layouts.back().stride)
    {
      if (stride < 1.0 || stride != std::round(stride))
      {
        throw ParameterError("PatchSize",
                             "a layer of \"" + settings.path +
                               "\" has no whole stride, so that tiles of it cannot be put together. Allowed: 0, the "
                               "whole image.");
      }
    }
  }
  return layouts;
}

} // namespace

FeatureExtractor::FeatureExtractor(const Model &                       model,
                                   const ModelSettings &               settings,
                                   const ImageContext &                context,
                                   at::Device                          device,
                                   const std::array<std::int64_t, 3> & size)
  : m_Model(model)
  , m_Settings(settings)
  , m_Context(context)
  , m_Size(size)
{
  const auto measured =
    measureLayouts(model, settings.dimension, settings.numberOfChannels, settings.layersMask, context, device);
  if (settings.patchSize.front() > 0)
  {
    m_TileLayouts = tileLayouts(settings, measured);
  }
  decideMargin(measured);
}

void
FeatureExtractor::decideMargin(const std::vector<std::optional<LayerLayout>> & measured)
{
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(m_Settings.dimension); ++axis)
  {
    double       reach = 0.0;
    std::int64_t strides = 1;
    for (const auto & layout : measured)
    {
      if (!layout)
      {
        m_Margin.fill(0); // nothing is known of where its voxels would lie
        return;
      }
      reach = std::max(reach, layout->reach[axis]);
      strides = std::lcm(strides, std::max<std::int64_t>(1, std::llround(layout->stride[axis])));
    }
    // Whole strides leave the layers' voxels where they are. Far from an edge its zeros count for little: an eighth of
    // the image bounds what the margin costs.
    const auto wanted = static_cast<std::int64_t>(std::ceil(reach));
    const auto bounded = std::min(wanted, std::max<std::int64_t>(1, m_Size[axis] / 8));
    m_Margin[axis] = (bounded + strides - 1) / strides * strides;
  }
}

std::vector<at::Tensor>
FeatureExtractor::run(const at::Tensor & part) const
{
  std::vector<std::int64_t> shape(part.sizes().begin(), part.sizes().end());
  shape.insert(shape.begin(), { 1, 1 });
  auto channels = shape;
  channels[1] = m_Settings.numberOfChannels;
  return m_Model.selected(part.reshape(shape).expand(channels).contiguous(), m_Settings.layersMask, m_Context);
}

std::vector<at::Tensor>
FeatureExtractor::runWithMargin(const at::Tensor & image)
{
  std::vector<std::int64_t>   padding;
  std::array<std::int64_t, 3> size = m_Size;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(image.dim()); ++axis)
  {
    padding.insert(padding.end(), 2, m_Margin[axis]);
    size[axis] += 2 * m_Margin[axis];
  }
  const at::Tensor        padded = at::pad(image.unsqueeze(0).unsqueeze(0), padding, "replicate").squeeze(0).squeeze(0);
  std::vector<at::Tensor> layers;
  if (!m_TileLayouts.empty())
  {
    // Where the image fits into one tile, the tile takes the margin, too.
    std::vector<std::int64_t> tileSize = m_Settings.patchSize;
    for (std::size_t axis = 0; axis < tileSize.size(); ++axis)
    {
      tileSize[axis] = m_Size[axis] <= tileSize[axis] ? size[axis] : tileSize[axis];
    }
    layers = runTiled(padded, tileSize, m_TileLayouts, [this](const at::Tensor & tile) { return run(tile); });
    m_Layouts = m_TileLayouts;
  }
  else
  {
    layers = run(padded);
    m_Layouts = layoutsOf(
      m_Model, layers, size, m_Settings.dimension, m_Settings.numberOfChannels, m_Settings.layersMask, m_Context);
  }
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    layers[i] = crop(layers[i], i);
  }
  return layers;
}

at::Tensor
FeatureExtractor::crop(const at::Tensor & layer, std::size_t number)
{
  at::Tensor    result = layer;
  LayerLayout & layout = m_Layouts[number];
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(layer.dim() - 2) && m_Margin[axis] > 0; ++axis)
  {
    // Voxel j lies at offset - margin + stride * j of the image: kept from half a stride before its first voxel to half
    // a stride beyond its last.
    const auto   dim = static_cast<std::int64_t>(layer.dim()) - 1 - static_cast<std::int64_t>(axis);
    const double stride = layout.stride[axis];
    const double offset = layout.offset[axis] - static_cast<double>(m_Margin[axis]);
    const auto   last = static_cast<double>(m_Size[axis] - 1);
    const auto   begin = std::max<std::int64_t>(0, std::llround(std::ceil((-0.5 * stride - offset) / stride + 1e-9)));
    const auto   end =
      std::min<std::int64_t>(layer.size(dim), std::llround(std::ceil((last + 0.5 * stride - offset) / stride - 1e-9)));
    result = result.narrow(dim, begin, std::max<std::int64_t>(1, end - begin));
    layout.offset[axis] = offset + stride * static_cast<double>(begin);
  }
  return result;
}

std::vector<at::Tensor>
FeatureExtractor::extract(const at::Tensor & image)
{
  if (m_Margin == std::array<std::int64_t, 3>{})
  {
    return runWithMargin(image);
  }
  try
  {
    return runWithMargin(image);
  }
  catch (const Error &)
  {
    // Some networks take images of certain sizes alone, which the image has without its margin.
    m_Margin.fill(0);
    return runWithMargin(image);
  }
}

} // namespace impact
