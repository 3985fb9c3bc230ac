#include "patch_model.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

/** The values of a layer at a place between its voxels, axis after axis. */
at::Tensor
interpolateAt(at::Tensor layer, const Vector & place)
{
  for (std::int64_t dim = layer.dim() - 1, axis = 0; dim >= 2; --dim, ++axis)
  {
    const auto       last = static_cast<double>(layer.size(dim) - 1);
    const double     index = std::min(std::max(place[static_cast<std::size_t>(axis)], 0.0), last);
    const double     lower = std::min(std::floor(index), std::max(last - 1.0, 0.0));
    const double     fraction = index - lower;
    const auto       first = static_cast<std::int64_t>(lower);
    const at::Tensor below = layer.select(dim, first);
    layer = fraction == 0.0 ? below : below * (1.0 - fraction) + layer.select(dim, first + 1) * fraction;
  }
  return layer;
}

} // namespace

PatchModel::PatchModel(ModelPointer          model,
                       const ModelSettings & settings,
                       const ImageView &     image,
                       const Matrix &        axes,
                       at::Device            device)
  : m_Model(std::move(model))
  , m_Settings(settings)
  , m_Context(ImageContext::of(image, axes, device))
{
  std::copy(settings.patchSize.begin(), settings.patchSize.end(), m_Size.begin());
  const auto layers = run(at::zeros({ 1, voxelsPerPatch() }, at::dtype(at::kFloat).device(device)));
  m_Layouts =
    layoutsOf(*m_Model, layers, m_Size, settings.dimension, settings.numberOfChannels, settings.layersMask, m_Context);
  for (const at::Tensor & layer : layers)
  {
    m_NumbersOfChannels.push_back(layer.size(1));
  }
}

std::vector<at::Tensor>
PatchModel::run(const at::Tensor & patches) const
{
  const auto shape = inputShape(patches.size(0), m_Settings.numberOfChannels, m_Settings.dimension, m_Size);
  auto       grey = shape;
  grey[1] = 1;
  return m_Model->selected(patches.view(grey).expand(shape).contiguous(), m_Settings.layersMask, m_Context);
}

std::vector<at::Tensor>
PatchModel::centreFeatures(const at::Tensor & patches) const
{
  std::vector<at::Tensor> features = run(patches);
  for (std::size_t i = 0; i < features.size(); ++i)
  {
    Vector place{};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const double centre = 0.5 * static_cast<double>(m_Size[axis] - 1);
      place[axis] = (centre - m_Layouts[i].layout.offset[axis]) / m_Layouts[i].layout.stride[axis];
    }
    features[i] = interpolateAt(features[i], place);
  }
  return features;
}

double
PatchModel::voxelSizeAlong(int imageAxis, std::size_t patchAxis) const
{
  // A 2D model on 3D images may be given the voxel size of all three axes, or of its own two.
  const bool ofImage =
    std::all_of(m_Settings.voxelSize.begin(), m_Settings.voxelSize.end(), [](double size) { return size > 0.0; });
  return m_Settings.voxelSize[ofImage ? static_cast<std::size_t>(imageAxis) : patchAxis];
}

std::vector<Vector>
PatchModel::offsets(const Matrix & direction, const std::vector<int> & axes) const
{
  std::vector<Vector> result;
  result.reserve(static_cast<std::size_t>(voxelsPerPatch()));
  for (std::int64_t z = 0; z < m_Size[2]; ++z)
  {
    for (std::int64_t y = 0; y < m_Size[1]; ++y)
    {
      for (std::int64_t x = 0; x < m_Size[0]; ++x)
      {
        const std::array<std::int64_t, 3> voxel{ x, y, z };
        Vector                            along{};
        for (std::size_t i = 0; i < axes.size(); ++i)
        {
          const double fromCentre = static_cast<double>(voxel[i]) - 0.5 * static_cast<double>(m_Size[i] - 1);
          along[static_cast<std::size_t>(axes[i])] = fromCentre * voxelSizeAlong(axes[i], i);
        }
        result.push_back(multiply(direction, along));
      }
    }
  }
  return result;
}

} // namespace impact
