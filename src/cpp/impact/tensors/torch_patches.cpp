#include "impact/tensors/torch_patches.h"

#include <algorithm>

namespace impact
{
namespace
{

// With 64 control points around each, some hundred megabytes.
constexpr std::int64_t pointsAtOnce = std::int64_t{ 1 } << 16;

at::Tensor
joined(const std::vector<at::Tensor> & parts)
{
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

} // namespace

TorchPatches::TorchPatches(const ImageView &                        fixed,
                           const ImageView &                        moving,
                           at::Device                               device,
                           std::function<void(const std::string &)> log)
  : m_Device(device)
  , m_Fixed(uploaded(fixed, device))
  , m_Moving(uploaded(moving, device))
  , m_PointsAtOnce(pointsAtOnce)
  , m_Log(std::move(log))
{}

TorchPatches::Image
TorchPatches::uploaded(const ImageView & image, at::Device device)
{
  return { at::from_blob(const_cast<float *>(image.pixels), { image.grid.numberOfVoxels(), 1 }, at::kFloat).to(device),
           TorchGrid(image.grid, device) };
}

at::Tensor
TorchPatches::Offsets::around(const at::Tensor & samples, std::int64_t first) const
{
  const at::Tensor ofSamples =
    planes.defined() ? ofPlanes.index_select(0, planes.narrow(0, first, samples.size(0))) : ofPlanes;
  return (samples.unsqueeze(1) + ofSamples).view({ -1, 3 });
}

TorchPatches::Offsets
TorchPatches::upload(const std::vector<std::vector<Vector>> & offsets) const
{
  std::vector<double> numbers;
  for (const auto & ofPlane : offsets)
  {
    for (const Vector & offset : ofPlane)
    {
      numbers.insert(numbers.end(), offset.begin(), offset.end());
    }
  }
  return { at::tensor(numbers, at::kDouble).view({ static_cast<std::int64_t>(offsets.size()), -1, 3 }).to(m_Device) };
}

at::Tensor
TorchPatches::uploadPlanes(const std::vector<std::size_t> & planeOfSample) const
{
  constexpr bool                  withoutWaiting = true; // see TorchTransform
  const std::vector<std::int64_t> numbers(planeOfSample.begin(), planeOfSample.end());
  return at::tensor(numbers, at::kLong).to(m_Device, at::kLong, withoutWaiting);
}

void
TorchPatches::forParts(const TorchSamples &                                                       samples,
                       const Offsets &                                                            offsets,
                       const std::function<void(std::int64_t first, const at::Tensor & places)> & action)
{
  const std::int64_t perSample = offsets.ofPlanes.size(1);
  Batches            batches(m_PointsAtOnce / perSample, m_Device, "patch", m_Log);
  const std::int64_t wanted = batches.size();
  batches.run(samples.count(), [&](std::int64_t first, std::int64_t number) {
    action(first, offsets.around(samples.fixed().narrow(0, first, number), first));
  });
  if (batches.size() < wanted)
  {
    m_PointsAtOnce = batches.size() * perSample;
    m_Log = {};
  }
}

at::Tensor
TorchPatches::fixed(const TorchSamples & samples, const Offsets & offsets)
{
  std::vector<at::Tensor> parts;
  forParts(samples, offsets, [&](std::int64_t, const at::Tensor & places) {
    parts.push_back(m_Fixed.grid.interpolate(m_Fixed.voxels, places, {}, false).values);
  });
  return joined(parts).view({ samples.count(), -1 });
}

TorchPatches::Moving
TorchPatches::moving(const TorchSamples & samples, const Offsets & offsets, bool withGradient)
{
  std::vector<at::Tensor> intensities;
  std::vector<at::Tensor> partials;
  forParts(samples, offsets, [&](std::int64_t, const at::Tensor & places) {
    const at::Tensor mapped = samples.transform().map(places);
    const auto       found = m_Moving.grid.interpolate(m_Moving.voxels, mapped, {}, withGradient);
    intensities.push_back(found.values);
    if (withGradient)
    {
      partials.push_back(found.partials.squeeze(2));
    }
  });
  return { joined(intensities).view({ samples.count(), -1 }), withGradient ? joined(partials) : at::Tensor() };
}

void
TorchPatches::addGradients(const TorchSamples & samples,
                           const Offsets &      offsets,
                           const Moving &       moving,
                           const at::Tensor &   gradients,
                           at::Tensor &         sums)
{
  const at::Tensor ofVoxels = gradients.reshape({ -1, 1 });
  const auto       perSample = offsets.ofPlanes.size(1);
  forParts(samples, offsets, [&](std::int64_t first, const at::Tensor & places) {
    const at::Tensor perIndex = ofVoxels.narrow(0, first * perSample, places.size(0)) *
                                moving.partials.narrow(0, first * perSample, places.size(0));
    samples.addGradients(places, m_Moving.grid.perMillimetre(perIndex), sums);
  });
}

} // namespace impact
