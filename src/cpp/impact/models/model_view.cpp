#include "impact/models/model_view.h"

#include <algorithm>

namespace impact
{

ModelView
viewOf(const ModelSettings & settings, const Grid & fixedImage, Mode mode)
{
  const auto dimension = static_cast<std::size_t>(fixedImage.dimension);
  const bool slices = settings.dimension < fixedImage.dimension && mode == Mode::Static;

  // For each axis of the image the world's axis that is nearest to it: the row of its only entry.
  const Matrix               snapped = snapToSignedPermutation(fixedImage.direction, fixedImage.dimension);
  std::array<std::size_t, 3> ofWorld{ 0, 1, 2 };
  std::vector<std::size_t>   order{ 0, 1, 2 };
  for (std::size_t axis = 0; axis < dimension; ++axis)
  {
    for (std::size_t row = 0; row < dimension; ++row)
    {
      ofWorld[axis] = snapped[row][axis] != 0.0 ? row : ofWorld[axis];
    }
  }
  std::sort(order.begin(),
            order.begin() + static_cast<std::ptrdiff_t>(slices ? 2 : dimension),
            [&ofWorld](std::size_t a, std::size_t b) { return ofWorld[a] < ofWorld[b]; });

  ModelView view{ fixedImage.direction, settings };
  for (std::size_t axis = 0; axis < dimension; ++axis)
  {
    const std::size_t old = order[axis];
    for (std::size_t row = 0; row < dimension; ++row)
    {
      view.axes[row][axis] = snapped[ofWorld[old]][old] * fixedImage.direction[row][old];
    }
  }
  // Sizes of the plane that a 2D model sees somewhere in a 3D image are of no axis of the image.
  const auto reorder = [&](auto & to, const auto & from) {
    const bool ofImage =
      from.size() == dimension && std::all_of(from.begin(), from.end(), [](auto s) { return s > 0; });
    const bool        ofSlice = slices && from.size() >= 2;
    const std::size_t count = ofImage ? dimension : (ofSlice ? 2 : 0);
    for (std::size_t axis = 0; axis < count; ++axis)
    {
      to[axis] = from[order[axis]];
    }
  };
  reorder(view.settings.patchSize, settings.patchSize);
  reorder(view.settings.voxelSize, settings.voxelSize);
  return view;
}

} // namespace impact
