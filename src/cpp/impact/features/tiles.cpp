#include "impact/features/tiles.h"

#include "impact/base/error.h"

#include <cmath>
#include <numeric>

namespace impact
{
namespace
{

/** How one axis of an image is cut. All in input voxels. */
struct Cut
{
  std::int64_t length;  // of a tile
  std::int64_t padding; // beyond the image's end, so that the last tile begins at a multiple of the strides
  std::int64_t reach;
  std::int64_t blend;
  std::vector<std::int64_t> begins;
};

Cut
cutAxis(std::int64_t size, std::int64_t tile, double reach, std::int64_t strides, char axis)
{
  Cut cut{ std::min(tile, size), 0, static_cast<std::int64_t>(std::ceil(reach)), 0, { 0 } };
  if (cut.length == size)
  {
    return cut;
  }
  cut.blend = std::max<std::int64_t>(1, cut.length / 8);
  const std::int64_t step = (cut.length - 2 * cut.reach - cut.blend) / strides * strides;
  if (step < 1)
  {
    const std::int64_t least = (2 * cut.reach + strides) * 8 / 7 + 2;
    throw ParameterError("PatchSize",
                         "tiles of " + std::to_string(tile) + " voxels along axis " + axis +
                           " are too small, because the model sees " + std::to_string(cut.reach) +
                           " voxels to each side of a feature.",
                         "Allowed: " + std::to_string(least) + " or more, or 0 for the whole image.");
  }
  const std::int64_t last = (size - cut.length + strides - 1) / strides * strides;
  cut.padding = last + cut.length - size;
  for (std::int64_t begin = step; begin < last; begin += step)
  {
    cut.begins.push_back(begin);
  }
  cut.begins.push_back(last);
  return cut;
}

std::vector<Cut>
cutAxes(const std::vector<std::int64_t> & imageSize,
        const std::vector<std::int64_t> & tileSize,
        const std::vector<LayerLayout> &  layouts)
{
  std::vector<Cut> cuts;
  for (std::size_t axis = 0; axis < imageSize.size(); ++axis)
  {
    double       reach = 0.0;
    std::int64_t strides = 1;
    for (const LayerLayout & layout : layouts)
    {
      reach = std::max(reach, layout.reach[axis]);
      strides = std::lcm(strides, std::max<std::int64_t>(1, std::llround(layout.stride[axis])));
    }
    cuts.push_back(cutAxis(imageSize[axis], tileSize[axis], reach, strides, "xyz"[axis]));
  }
  return cuts;
}

/** How much each layer voxel of a tile counts along one axis: nothing within reach of an inner edge, then rising. */
at::Tensor
rampOf(const Cut & cut, std::size_t number, double stride, double offset, std::int64_t count, const at::Tensor & like)
{
  std::vector<float> ramp(static_cast<std::size_t>(count));
  const auto         weight = [&cut](double fromEdge) {
    const double inside = fromEdge - static_cast<double>(cut.reach);
    return inside < 0.0 ? 0.0 : std::min(1.0, (inside + 1.0) / static_cast<double>(cut.blend + 1));
  };
  for (std::size_t j = 0; j < ramp.size(); ++j)
  {
    const double place = offset + stride * static_cast<double>(j);
    const double left = number == 0 ? 1.0 : weight(place);
    const double right = number + 1 == cut.begins.size() ? 1.0 : weight(static_cast<double>(cut.length - 1) - place);
    ramp[j] = static_cast<float>(std::min(left, right));
  }
  return at::tensor(ramp).to(like.device());
}

} // namespace

void
checkTiles(const std::array<std::int64_t, 3> & imageSize,
           const std::vector<std::int64_t> &   tileSize,
           const std::vector<LayerLayout> &    layouts)
{
  cutAxes({ imageSize.begin(), imageSize.begin() + static_cast<std::ptrdiff_t>(tileSize.size()) }, tileSize, layouts);
}

std::vector<at::Tensor>
runTiled(const at::Tensor &                                                      image,
         const std::vector<std::int64_t> &                                       tileSize,
         const std::vector<LayerLayout> &                                        layouts,
         const std::function<std::vector<at::Tensor>(const at::Tensor & tile)> & run)
{
  const auto                dimension = static_cast<std::size_t>(image.dim());
  std::vector<std::int64_t> imageSize(image.sizes().rbegin(), image.sizes().rend());
  const std::vector<Cut>    cuts = cutAxes(imageSize, tileSize, layouts);
  std::vector<std::int64_t> padding;
  for (const Cut & cut : cuts)
  {
    padding.push_back(0);
    padding.push_back(cut.padding);
  }
  const at::Tensor padded = at::pad(image.unsqueeze(0).unsqueeze(0), padding, "replicate").squeeze(0).squeeze(0);

  std::vector<at::Tensor> sums(layouts.size());
  std::vector<at::Tensor> weights(layouts.size());
  std::size_t             numberOfTiles = 1;
  for (const Cut & cut : cuts)
  {
    numberOfTiles *= cut.begins.size();
  }
  for (std::size_t number = 0; number < numberOfTiles; ++number)
  {
    std::array<std::size_t, 3> place{};
    at::Tensor                 tile = padded;
    for (std::size_t axis = 0, rest = number; axis < dimension; ++axis)
    {
      place[axis] = rest % cuts[axis].begins.size();
      rest /= cuts[axis].begins.size();
      const auto dim = static_cast<std::int64_t>(dimension - 1 - axis);
      tile = tile.narrow(dim, cuts[axis].begins[place[axis]], cuts[axis].length);
    }
    const std::vector<at::Tensor> layers = run(tile);
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
      const auto tileLayerSize = spatialSize(layers[i]);
      if (!sums[i].defined())
      {
        std::vector<std::int64_t> shape{ 1, layers[i].size(1) };
        for (std::size_t axis = dimension; axis-- > 0;)
        {
          shape.push_back(tileLayerSize[axis] + cuts[axis].begins.back() / std::llround(layouts[i].stride[axis]));
        }
        sums[i] = at::zeros(shape, layers[i].options());
        shape[1] = 1;
        weights[i] = at::zeros(shape, layers[i].options());
      }
      at::Tensor ramp = at::ones({}, layers[i].options());
      at::Tensor sum = sums[i];
      at::Tensor weight = weights[i];
      for (std::size_t axis = 0; axis < dimension; ++axis)
      {
        const auto                dim = static_cast<std::int64_t>(dimension + 1 - axis);
        const double              stride = layouts[i].stride[axis];
        std::vector<std::int64_t> shape(dimension + 2, 1);
        shape[static_cast<std::size_t>(dim)] = tileLayerSize[axis];
        ramp =
          ramp *
          rampOf(cuts[axis], place[axis], stride, layouts[i].offset[axis], tileLayerSize[axis], layers[i]).view(shape);
        const std::int64_t begin = cuts[axis].begins[place[axis]] / std::llround(stride);
        sum = sum.narrow(dim, begin, tileLayerSize[axis]);
        weight = weight.narrow(dim, begin, tileLayerSize[axis]);
      }
      sum.add_(layers[i] * ramp);
      weight.add_(ramp);
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
  {
    sums[i] /= weights[i];
  }
  return sums;
}

} // namespace impact
