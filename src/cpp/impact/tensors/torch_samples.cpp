#include "impact/tensors/torch_samples.h"

namespace impact
{
namespace
{

// Points that are mapped at once: some hundred megabytes for the control points around them.
constexpr std::int64_t pointsAtOnce = std::int64_t{ 1 } << 16;

at::Tensor
upload(const std::vector<double> & numbers, at::Device device)
{
  constexpr bool withoutWaiting = true; // see TorchTransform
  return at::tensor(numbers, at::kDouble).to(device, at::kDouble, withoutWaiting);
}

} // namespace

TorchSamples::TorchSamples(const DeviceGeometry & geometry, const Grid & moving, at::Device device)
  : m_Device(device)
  , m_MovingGrid(moving, device)
{
  if (geometry.gradientScale)
  {
    std::vector<double> rows;
    for (const Vector & row : *geometry.gradientScale)
    {
      rows.insert(rows.end(), row.begin(), row.end());
    }
    m_GradientScale = upload(rows, device).view({ 3, 3 }).t();
  }
  if (geometry.movingMask)
  {
    m_MaskGrid.emplace(geometry.movingMask->grid, device);
    m_Mask = at::tensor(geometry.movingMask->voxels, at::kByte).to(device).to(at::kBool);
  }
}

void
TorchSamples::set(const DeviceEvaluation & evaluation)
{
  if (evaluation.newPoints)
  {
    m_All = upload(*evaluation.newPoints, m_Device).view({ -1, 3 });
  }
  m_Transform.emplace(*evaluation.transform, m_Device);
  std::vector<at::Tensor> parts;
  for (const at::Tensor & part : m_All.split(pointsAtOnce))
  {
    parts.push_back(m_Transform->map(part));
  }
  const at::Tensor mapped = parts.size() == 1 ? parts.front() : at::cat(parts);
  at::Tensor       valid = m_MovingGrid.isInside(mapped);
  if (m_MaskGrid)
  {
    const auto [voxels, inside] = m_MaskGrid->nearestVoxels(mapped);
    valid = valid.logical_and(inside).logical_and(m_Mask.index_select(0, voxels));
  }
  const at::Tensor kept = valid.nonzero().select(1, 0); // waits
  m_Fixed = m_All.index_select(0, kept);
  m_Moving = mapped.index_select(0, kept);
}

void
TorchSamples::addGradients(const at::Tensor & points, const at::Tensor & gradients, at::Tensor & sums) const
{
  const at::Tensor scaled = m_GradientScale.defined() ? gradients.matmul(m_GradientScale) : gradients;
  for (std::int64_t first = 0; first < points.size(0); first += pointsAtOnce)
  {
    const std::int64_t number = std::min(pointsAtOnce, points.size(0) - first);
    m_Transform->addGradients(points.narrow(0, first, number), scaled.narrow(0, first, number), sums);
  }
}

DeviceResult
TorchSamples::bringDown(const at::Tensor &                          value,
                        const at::Tensor &                          sums,
                        const at::Tensor &                          more,
                        const std::function<void(const double *)> & takeMore) const
{
  std::vector<at::Tensor> all{ value.to(at::kDouble).view({ 1 }) };
  if (more.defined())
  {
    all.push_back(more.to(at::kDouble));
  }
  if (sums.defined())
  {
    all.push_back(m_Transform->laidOut(sums));
  }
  const at::Tensor     numbers = at::cat(all).cpu();
  const double * const from = numbers.const_data_ptr<double>();
  const std::int64_t   others = more.defined() ? more.numel() : 0;
  if (takeMore)
  {
    takeMore(from + 1);
  }
  return { from[0], count(), { from + 1 + others, from + numbers.numel() } };
}

} // namespace impact
