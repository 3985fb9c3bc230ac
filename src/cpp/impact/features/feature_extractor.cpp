#include "impact/features/feature_extractor.h"

#include "impact/features/tiles.h"
#include "impact/models/operators_in_pieces.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace impact
{
namespace
{

ParameterError
noWholeStride(const ModelSettings & settings)
{
  return ParameterError("PatchSize",
                        "a layer of \"" + settings.path +
                          "\" has no whole stride in tiles of that size, so that they cannot be put together.",
                        "Allowed: 0, the whole image, or another size.");
}

bool
isWhole(double stride)
{
  return stride >= 1.0 && stride == std::round(stride);
}

/** How far a layer is taken to see in tiles of a size, where that is known: what is further than a quarter of a tile
 * counts for little, and whoever takes large tiles of a deep network's layers means to have them. */
double
reachInTiles(double reach, std::int64_t tile)
{
  constexpr double shallow = 16.0;
  return std::min(reach, std::max(shallow, static_cast<double>(tile / 4)));
}

/** The layout of a layer in tiles: as measured, where that fits the size of the layer of one tile; else from that size,
 * with the reach taken to be a quarter of a tile. \throws ParameterError for a layer between whole strides */
LayerLayout
tileLayout(const ModelSettings &               settings,
           const std::optional<LayerLayout> &  measured,
           const std::array<std::int64_t, 3> & tile,
           const std::array<std::int64_t, 3> & layer)
{
  LayerLayout layout;
  for (std::size_t axis = 0; axis < settings.patchSize.size(); ++axis)
  {
    const double ratio = static_cast<double>(tile[axis]) / static_cast<double>(layer[axis]);
    // Along an axis with a single tile nothing is put together.
    const double ofSize = tile[axis] < settings.patchSize[axis] ? std::max(1.0, std::round(ratio)) : ratio;
    const double stride = measured ? measured->stride[axis] : ofSize;
    if (!isWhole(stride) || (measured && !fits(*measured, tile, layer)))
    {
      throw noWholeStride(settings);
    }
    layout.stride[axis] = stride;
    layout.offset[axis] = measured ? measured->offset[axis] : 0.5 * (stride - 1.0);
    layout.reach[axis] = measured ? reachInTiles(measured->reach[axis], settings.patchSize[axis])
                                  : static_cast<double>(settings.patchSize[axis] / 4);
  }
  return layout;
}

/** What the model sees at once: the image, or a tile. */
std::array<std::int64_t, 3>
inputSize(const ModelSettings & settings, std::array<std::int64_t, 3> size)
{
  for (std::size_t axis = 0; settings.patchSize.front() > 0 && axis < settings.patchSize.size(); ++axis)
  {
    size[axis] = std::min(size[axis], settings.patchSize[axis]);
  }
  return size;
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
  , m_Tiled(settings.patchSize.front() > 0)
  , m_Device(device)
  , m_Measured(measureLayouts(model,
                              settings.dimension,
                              settings.numberOfChannels,
                              settings.layersMask,
                              context,
                              device,
                              inputSize(settings, size)))
{
  bool oneTile = true;
  for (std::size_t axis = 0; axis < settings.patchSize.size(); ++axis)
  {
    oneTile = oneTile && size[axis] <= settings.patchSize[axis];
  }
  m_Tiled = m_Tiled && !oneTile;
  decideMargin();
  if (m_Tiled)
  {
    std::vector<LayerLayout> known;
    for (const auto & layout : m_Measured)
    {
      known.push_back(layout.value_or(LayerLayout{}));
      for (std::size_t axis = 0; axis < settings.patchSize.size(); ++axis)
      {
        known.back().reach[axis] = reachInTiles(known.back().reach[axis], settings.patchSize[axis]);
      }
      const Vector & stride = known.back().stride;
      if (!std::all_of(stride.begin(), stride.end(), isWhole))
      {
        throw noWholeStride(settings);
      }
    }
    checkTiles(size, settings.patchSize, known);
  }
}

void
FeatureExtractor::decideMargin()
{
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(m_Settings.dimension); ++axis)
  {
    double       reach = 0.0;
    std::int64_t strides = 1;
    for (const auto & layout : m_Measured)
    {
      if (!layout)
      {
        m_Margin.fill(0); // nothing is known of where its voxels would lie
        return;
      }
      reach = std::max(reach, layout->reach[axis]);
      strides = std::lcm(strides, std::max<std::int64_t>(1, std::llround(layout->stride[axis])));
    }
    // A layer that sees so much sees the zeros of all edges wherever it is.
    constexpr double deep = 32.0;
    if (m_Settings.dimension == 3 && reach > deep)
    {
      m_Margin.fill(0);
      return;
    }
    // Whole strides leave the layers' voxels where they are. Far from an edge its zeros count for little: an eighth of
    // the image bounds what the margin costs.
    const auto wanted = static_cast<std::int64_t>(std::ceil(reach));
    const auto bounded = std::min(wanted, std::max<std::int64_t>(1, m_Size[axis] / 8));
    m_Margin[axis] = (bounded + strides - 1) / strides * strides;
  }
}

void
FeatureExtractor::decideTiles(const at::Tensor & padded)
{
  at::Tensor                  tile = padded;
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  for (std::size_t axis = 0; axis < m_Settings.patchSize.size(); ++axis)
  {
    const auto dim = static_cast<std::int64_t>(m_Settings.patchSize.size() - 1 - axis);
    size[axis] = std::min(m_Settings.patchSize[axis], padded.size(dim));
    tile = tile.narrow(dim, 0, size[axis]);
  }
  const auto layers = run(tile);
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    m_TileLayouts.push_back(tileLayout(m_Settings, m_Measured[i], size, spatialSize(layers[i])));
  }
}

const NetworkChain *
FeatureExtractor::chainFor(const std::array<std::int64_t, 3> & size) const
{
  const auto * const chain = m_Device.is_cpu() ? m_Model.chain(m_Settings.layersMask,
                                                               m_Settings.dimension,
                                                               m_Settings.numberOfChannels,
                                                               m_Context.direction,
                                                               ChainUse::Images)
                                               : nullptr;
  return chain && chain->accepts(size) ? chain : nullptr;
}

std::vector<at::Tensor>
FeatureExtractor::run(const at::Tensor & part) const
{
  std::vector<std::int64_t> shape(part.sizes().begin(), part.sizes().end());
  shape.insert(shape.begin(), { 1, 1 });
  auto channels = shape;
  channels[1] = m_Settings.numberOfChannels;
  if (const auto * const chain = chainFor(spatialSize(part.reshape(shape))))
  {
    return chain->layers(part, m_Context);
  }
  const OperatorsInPieces inPieces;
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
  if (m_Tiled)
  {
    if (m_TileLayouts.empty())
    {
      decideTiles(padded);
    }
    // Where the image fits into one tile, the tile takes the margin, too.
    std::vector<std::int64_t> tileSize = m_Settings.patchSize;
    for (std::size_t axis = 0; axis < tileSize.size(); ++axis)
    {
      tileSize[axis] = m_Size[axis] <= tileSize[axis] ? size[axis] : tileSize[axis];
    }
    layers = runTiled(padded, tileSize, m_TileLayouts, [this](const at::Tensor & tile) { return run(tile); });
    m_Layouts = m_TileLayouts;
  }
  else if (const NetworkChain * const chain = chainFor(size))
  {
    const auto sizes = chain->layerSizes(size);
    if (!decideLayouts(size, sizes))
    {
      return runWithMargin(image);
    }
    std::vector<NetworkChain::Part> parts;
    for (std::size_t i = 0; i < sizes.size(); ++i)
    {
      parts.push_back(cut(i, sizes[i]));
    }
    return chain->layers(padded, parts, m_Context);
  }
  else
  {
    layers = run(padded);
    std::vector<std::array<std::int64_t, 3>> sizes;
    for (const at::Tensor & layer : layers)
    {
      sizes.push_back(spatialSize(layer));
    }
    if (!decideLayouts(size, sizes))
    {
      return runWithMargin(image);
    }
  }
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    const NetworkChain::Part part = cut(i, spatialSize(layers[i]));
    for (std::int64_t axis = 0; axis < layers[i].dim() - 2; ++axis)
    {
      const auto at = static_cast<std::size_t>(axis);
      layers[i] = layers[i].narrow(layers[i].dim() - 1 - axis, part.begin[at], part.size[at]);
    }
  }
  return layers;
}

bool
FeatureExtractor::decideLayouts(const std::array<std::int64_t, 3> &              size,
                                const std::vector<std::array<std::int64_t, 3>> & layers)
{
  const auto known = layoutsOf(m_Model,
                               layers,
                               size,
                               m_Settings.dimension,
                               m_Settings.numberOfChannels,
                               m_Settings.layersMask,
                               m_Context,
                               m_Device);
  m_Layouts.clear();
  for (const KnownLayout & layer : known)
  {
    if (!layer.measured && m_Margin != std::array<std::int64_t, 3>{})
    {
      m_Margin.fill(0); // a margin would squeeze the image
      return false;
    }
    m_Layouts.push_back(layer.layout);
  }
  return true;
}

NetworkChain::Part
FeatureExtractor::cut(std::size_t number, const std::array<std::int64_t, 3> & layer)
{
  NetworkChain::Part part{ {}, layer };
  LayerLayout &      layout = m_Layouts[number];
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(m_Settings.dimension); ++axis)
  {
    if (m_Margin[axis] == 0)
    {
      continue;
    }
    // Voxel j lies at offset - margin + stride * j of the image: kept from half a stride before its first voxel to half
    // a stride beyond its last.
    const double stride = layout.stride[axis];
    const double offset = layout.offset[axis] - static_cast<double>(m_Margin[axis]);
    const auto   last = static_cast<double>(m_Size[axis] - 1);
    const auto   begin = std::max<std::int64_t>(0, std::llround(std::ceil((-0.5 * stride - offset) / stride + 1e-9)));
    const auto   end =
      std::min<std::int64_t>(layer[axis], std::llround(std::ceil((last + 0.5 * stride - offset) / stride - 1e-9)));
    part.begin[axis] = begin;
    part.size[axis] = std::max<std::int64_t>(1, end - begin);
    layout.offset[axis] = offset + stride * static_cast<double>(begin);
  }
  return part;
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
