#include "impact/features/feature_map.h"

#include "impact/base/error.h"
#include "impact/base/memory.h"
#include "impact/compare/feature_normalization.h"
#include "impact/features/feature_extractor.h"
#include "impact/kernels/processor.h"
#include "impact/runtime/torch_tasks.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace impact
{
namespace
{

Vector
modelVoxelSize(const ModelSettings & settings)
{
  Vector voxelSize{};
  for (std::size_t axis = 0; axis < settings.voxelSize.size(); ++axis)
  {
    voxelSize[axis] = settings.voxelSize[axis];
  }
  return voxelSize;
}

/** \throws Error for a voxel size that makes more voxels than any memory holds, or a single one. */
void
checkNumberOfVoxels(const Grid & grid, const ModelSettings & settings)
{
  constexpr double most = 1e10;
  const auto       voxels =
    static_cast<double>(grid.size[0]) * static_cast<double>(grid.size[1]) * static_cast<double>(grid.size[2]);
  if (voxels > most || voxels < 2.0)
  {
    std::ostringstream text;
    text << settings.voxelSize[0] << " mm makes an image of " << grid.size[0] << " x " << grid.size[1] << " x "
         << grid.size[2] << " voxels for model \"" << settings.path << "\".";
    throw ParameterError(
      "VoxelSize",
      text.str(),
      "Allowed: sizes that make at least 2 and at most 1e10 voxels; near the spacing of the images is usual.",
      Problem::Kind::Value);
  }
}

void
checkFinite(const at::Tensor & layer, const ModelSettings & settings)
{
  if (!allFinite(layer))
  {
    throw featuresNotFinite(settings.path);
  }
}

/** Whether no other tensor has the same numbers, but for the one that a view is of and that nobody else holds. */
bool
isAlone(const at::Tensor & tensor)
{
  const auto holders = tensor.storage().use_count();
  return tensor.is_view() ? holders == 2 && tensor._base().use_count() == 1 : holders == 1;
}

/** Makes the rows the map's own, to be changed: a network may give its input, a layer twice, or what it holds itself.
 */
void
makeAlone(FeatureMap & map)
{
  if (!isAlone(map.rows))
  {
    map.rows = map.rows.clone();
  }
}

/** Gives the system back the whole pages of some memory that will not be used again before it is freed. */
void
releasePages(void * begin, void * end)
{
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto last = reinterpret_cast<std::uintptr_t>(end) / page * page;
  if (first < last)
  {
    madvise(reinterpret_cast<void *>(first), last - first, MADV_DONTNEED); // where it fails, they stay
  }
}

/** 1 x C x (z) x y x x to voxels x C. */
at::Tensor
channelsLast(const at::Tensor & layer)
{
  const at::Tensor   moved = layer.select(0, 0).movedim(0, -1);
  const std::int64_t channels = layer.size(1);
  if (moved.is_contiguous() || !layer.is_cpu())
  {
    return moved.reshape({ -1, channels }).contiguous();
  }
  constexpr std::int64_t numbersPerPiece = std::int64_t{ 1 } << 18;
  at::Tensor             result = at::empty(moved.sizes(), moved.options());
  torchInPieces(
    moved.size(0), numbersPerPiece * moved.size(0) / moved.numel() + 1, [&](std::int64_t first, std::int64_t number) {
      result.narrow(0, first, number).copy_(moved.narrow(0, first, number));
    });
  return result.view({ -1, channels });
}

} // namespace

namespace
{

/** Along other axes no axis can be resampled by itself: every voxel's place is computed. */
at::Tensor
resampleObliquely(const at::Tensor & image, const Grid & from, const Grid & to)
{
  const Matrix toPhysical = to.indexToPhysical();
  const Matrix toIndex = from.physicalToIndex();
  Vector       fromOrigin{};
  for (std::size_t i = 0; i < 3; ++i)
  {
    fromOrigin[i] = to.origin[i] - from.origin[i];
  }
  const Vector            first = multiply(toIndex, fromOrigin);
  const auto              options = at::dtype(at::kDouble).device(image.device());
  std::vector<at::Tensor> places;
  for (std::size_t i = 0; i < 3; ++i)
  {
    // Place along the old axis i, from -1 at the first voxel's centre to 1 at the last one's.
    at::Tensor   place = at::full({ 1, 1, 1 }, first[i], options);
    const double range = 0.5 * static_cast<double>(from.size[i] - 1);
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      double step = 0.0;
      for (std::size_t k = 0; k < 3; ++k)
      {
        step += toIndex[i][k] * toPhysical[k][axis];
      }
      std::vector<std::int64_t> shape{ 1, 1, 1 };
      shape[2 - axis] = to.size[axis];
      place = place + step * at::arange(to.size[axis], options).view(shape);
    }
    places.push_back((range > 0.0 ? place / range - 1.0 : at::zeros_like(place)).to(at::kFloat));
  }
  constexpr std::int64_t linear = 0;
  constexpr std::int64_t border = 1;
  return at::grid_sampler(image.view({ 1, 1, image.size(0), image.size(1), image.size(2) }),
                          at::stack(places, 3).unsqueeze(0),
                          linear,
                          border,
                          true)
    .view({ to.size[2], to.size[1], to.size[0] });
}

/** Turns voxels over to other axes that are the old ones in another order or sense. \return whether they are. */
bool
rearrange(at::Tensor & image, Grid & grid, const Matrix & direction)
{
  const Grid                old = grid;
  Vector                    first{};
  std::vector<std::int64_t> order(3);
  std::vector<std::int64_t> flipped;
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    bool found = false;
    for (std::size_t candidate = 0; candidate < 3; ++candidate)
    {
      double cosine = 0.0;
      for (std::size_t i = 0; i < 3; ++i)
      {
        cosine += direction[i][axis] * old.direction[i][candidate];
      }
      if (std::abs(std::abs(cosine) - 1.0) < 1e-9)
      {
        found = true;
        order[2 - axis] = static_cast<std::int64_t>(2 - candidate);
        grid.size[axis] = old.size[candidate];
        grid.spacing[axis] = old.spacing[candidate];
        if (cosine < 0.0)
        {
          flipped.push_back(static_cast<std::int64_t>(2 - axis));
          first[candidate] = static_cast<double>(old.size[candidate] - 1);
        }
      }
    }
    if (!found)
    {
      grid = old;
      return false;
    }
  }
  grid.origin = old.pointAt(first);
  grid.direction = direction;
  image = image.permute(order).flip(flipped);
  return true;
}

} // namespace

at::Tensor
resampleImage(const at::Tensor & original, const Grid & originalGrid, const Grid & to)
{
  at::Tensor result = original;
  Grid       from = originalGrid;
  if (from.direction != to.direction && !rearrange(result, from, to.direction))
  {
    return resampleObliquely(original, from, to);
  }
  const Matrix toIndex = from.physicalToIndex();
  Vector       firstPoint{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    firstPoint[axis] = to.origin[axis] - from.origin[axis];
  }
  const Vector first = multiply(toIndex, firstPoint);
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const auto a = static_cast<std::size_t>(axis);
    if (from.size[a] == to.size[a] && from.spacing[a] == to.spacing[a])
    {
      continue;
    }
    const std::int64_t        dim = 2 - axis;
    const auto                options = at::dtype(at::kDouble).device(original.device());
    const at::Tensor          index = (at::arange(to.size[a], options) * (to.spacing[a] / from.spacing[a]) + first[a])
                                        .clamp(0.0, static_cast<double>(from.size[a] - 1));
    const at::Tensor          lower = index.floor();
    const at::Tensor          upper = (lower + 1.0).clamp_max(static_cast<double>(from.size[a] - 1));
    std::vector<std::int64_t> shape{ 1, 1, 1 };
    shape[static_cast<std::size_t>(dim)] = to.size[a];
    const at::Tensor weight = (index - lower).to(at::kFloat).view(shape);
    const at::Tensor before = lower.to(at::kLong);
    const at::Tensor after = upper.to(at::kLong);
    const auto       between =
      [dim](const at::Tensor & image, const at::Tensor & i, const at::Tensor & j, const at::Tensor & w) {
        return at::lerp(image.index_select(dim, i), image.index_select(dim, j), w);
      };
    if (!result.is_cpu())
    {
      result = between(result, before, after, weight);
      continue;
    }
    const at::Tensor input = result;
    auto             size = input.sizes().vec();
    size[static_cast<std::size_t>(dim)] = to.size[a];
    at::Tensor output = at::empty(size, input.options());
    torchInPieces(size[0], 4, [&](std::int64_t slice, std::int64_t slices) {
      const auto part = [&](const at::Tensor & of) { return of.narrow(0, slice, slices); };
      part(output).copy_(dim == 0 ? between(input, part(before), part(after), part(weight))
                                  : between(part(input), before, after, weight));
    });
    result = output;
  }
  return result;
}

bool
makeHalf(FeatureMap & map)
{
  if (map.rows.is_cpu())
  {
    makeAlone(map);
  }
  const at::Tensor rows = map.rows;
  if (!rows.is_cpu())
  {
    const at::Tensor halves = rows.to(at::kHalf);
    const bool       fits = allFinite(halves);
    map.rows = fits ? halves : rows;
    return fits;
  }
  constexpr std::int64_t perTask = std::int64_t{ 1 } << 18;
  constexpr std::int64_t perRound = perTask << 6;
  float * const          numbers = rows.data_ptr<float>();
  const auto             forParts = [&](std::int64_t begin, std::int64_t end, const auto & function) {
    inParallel((end - begin + perTask - 1) / perTask, [&](std::int64_t part) {
      const std::int64_t first = begin + part * perTask;
      function(first, std::min(perTask, end - first));
    });
  };
  std::atomic<bool> fits{ true };
  forParts(0, rows.numel(), [&](std::int64_t first, std::int64_t count) {
    if (!samplingKernels().fitsHalf(numbers + first, count))
    {
      fits = false;
    }
  });
  if (!fits)
  {
    return false;
  }
  // In place, so that a map never takes more memory than it did: what is written has been read before.
  auto * const               halves = reinterpret_cast<std::uint16_t *>(numbers);
  std::vector<std::uint16_t> round(static_cast<std::size_t>(std::min(perRound, rows.numel())));
  for (std::int64_t begin = 0; begin < rows.numel(); begin += perRound)
  {
    const std::int64_t end = std::min(rows.numel(), begin + perRound);
    forParts(begin, end, [&](std::int64_t first, std::int64_t count) {
      samplingKernels().halve(numbers + first, count, round.data() + (first - begin));
    });
    std::memcpy(halves + begin, round.data(), static_cast<std::size_t>(end - begin) * sizeof(std::uint16_t));
  }
  releasePages(halves + rows.numel(), numbers + rows.numel());
  map.rows = at::from_blob(halves, rows.sizes(), [rows](void *) {}, at::dtype(at::kHalf));
  return true;
}

Grid
inputGrid(const ModelSettings & settings, const Grid & image, const Matrix & axes)
{
  const Grid grid = image.alongAxes(axes).resampled(modelVoxelSize(settings));
  checkNumberOfVoxels(grid, settings);
  return grid;
}

ModelInput
makeModelInput(const ModelSettings & settings, const ImageView & image, const Matrix & axes, at::Device device)
{
  const Grid       grid = inputGrid(settings, image.grid, axes);
  const at::Tensor original = at::from_blob(const_cast<float *>(image.pixels),
                                            { image.grid.size[2], image.grid.size[1], image.grid.size[0] },
                                            at::kFloat)
                                .to(device);
  return { resampleImage(original, image.grid, grid), grid, ImageContext::of(image, axes, device) };
}

namespace
{

std::vector<FeatureMap>
makeRawMaps(const Model & model, const ModelSettings & settings, const ModelInput & input)
{
  const auto & [voxels, grid, context] = input;
  const bool sliceBySlice = settings.dimension < grid.dimension;
  const auto partSize = sliceBySlice ? std::array<std::int64_t, 3>{ grid.size[0], grid.size[1], 1 } : grid.size;

  FeatureExtractor        extractor(model, settings, context, voxels.device(), partSize);
  std::vector<FeatureMap> maps;
  if (!sliceBySlice)
  {
    // A 2D image has a third axis only in our books.
    std::vector<at::Tensor> layers = extractor.extract(settings.dimension == 2 ? voxels.select(0, 0) : voxels);
    releaseFreedMemory();
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
      checkFinite(layers[i], settings);
      const auto & layout = extractor.layouts()[i];
      maps.push_back({ channelsLast(layers[i]), grid.strided(layout.stride, layout.offset, spatialSize(layers[i])) });
      layers[i].reset(); // two copies of one layer at a time, not of all
    }
    return maps;
  }

  for (std::int64_t z = 0; z < grid.size[2]; ++z)
  {
    const auto layers = extractor.extract(voxels.select(0, z));
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
      checkFinite(layers[i], settings);
      const at::Tensor slice = channelsLast(layers[i]);
      if (z == 0)
      {
        const auto & layout = extractor.layouts()[i];
        auto         size = spatialSize(layers[i]);
        size[2] = grid.size[2];
        maps.push_back({ at::empty({ slice.size(0) * size[2], slice.size(1) }, slice.options()),
                         grid.strided(layout.stride, layout.offset, size) });
      }
      maps[i].rows.narrow(0, z * slice.size(0), slice.size(0)).copy_(slice);
    }
  }
  return maps;
}

} // namespace

std::vector<FeatureMap>
makeFeatureMaps(const Model & model, const ModelSettings & settings, const ModelInput & input)
{
  std::vector<FeatureMap> maps = makeRawMaps(model, settings, input);
  if (settings.featureNormalization == FeatureNormalization::None)
  {
    return maps;
  }
  std::vector<std::int64_t> channels;
  for (const FeatureMap & map : maps)
  {
    channels.push_back(map.rows.size(1));
  }
  checkNormalization(settings, channels);
  for (FeatureMap & map : maps)
  {
    makeAlone(map);
    normalizeInPlace(settings.featureNormalization, map.rows);
  }
  return maps;
}

} // namespace impact
