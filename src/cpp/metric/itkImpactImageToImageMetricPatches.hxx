#ifndef itkImpactImageToImageMetricPatches_hxx
#define itkImpactImageToImageMetricPatches_hxx

// Jacobian mode: patches around every sample go through the networks at every evaluation.

#include "itkImpactImageToImageMetric.h"

#include <algorithm>

namespace itk
{

template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::TryPatches() const
{
  constexpr std::size_t            perAxis = 4;
  constexpr std::size_t            count = FixedImageDimension == 2 ? perAxis * perAxis : perAxis * perAxis * perAxis;
  impact::PatchSimilarity &        similarity = *m_PatchSimilarity;
  impact::PatchSimilarity::Patches fixed(similarity.numberOfModels());
  impact::PatchSimilarity::Patches moving(similarity.numberOfModels());
  const auto                       take = [](const auto & image, const auto & offsets, std::size_t n, auto & patches) {
    const impact::Grid grid = impact::GridOf(*image.GetImage());
    impact::Vector     index{};
    for (std::size_t axis = 0, rest = n; axis < FixedImageDimension; ++axis, rest /= perAxis)
    {
      index[axis] = (static_cast<double>(rest % perAxis) + 0.5) / perAxis * static_cast<double>(grid.size[axis] - 1);
    }
    const impact::Vector centre = grid.pointAt(index);
    std::vector<double>  points;
    for (const impact::Vector & o : offsets)
    {
      points.insert(points.end(), { centre[0] + o[0], centre[1] + o[1], centre[2] + o[2] });
    }
    patches.resize(patches.size() + offsets.size());
    image.At(points.data(), offsets.size(), patches.data() + patches.size() - offsets.size(), nullptr);
  };
  similarity.draw(count);
  for (std::size_t m = 0; m < similarity.numberOfModels(); ++m)
  {
    for (std::size_t n = 0; n < count; ++n)
    {
      take(m_FixedIntensity, similarity.fixedOffsets(m, n), n, fixed[m]);
      take(m_MovingIntensity, similarity.movingOffsets(m, n), n, moving[m]);
    }
  }
  similarity.tryModels(fixed, moving);
}


template <typename TFixedImage, typename TMovingImage>
std::vector<std::size_t>
ImpactImageToImageMetric<TFixedImage, TMovingImage>::OrderOfPlace(const ValidSamples & samples)
{
  std::vector<std::pair<double, std::size_t>> keys(samples.size());
  for (std::size_t s = 0; s < samples.size(); ++s)
  {
    keys[s] = { samples.fixedPoints[3 * s + FixedImageDimension - 1], s };
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::size_t> order;
  order.reserve(keys.size());
  for (const auto & key : keys)
  {
    order.push_back(key.second);
  }
  return order;
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluatePatches(const ValidSamples & samples,
                                                                     DerivativeType * derivative) const -> MeasureType
{
  impact::PatchSimilarity & similarity = *m_PatchSimilarity;
  const std::size_t         numberOfSamples = samples.size();
  const std::size_t         numberOfModels = similarity.numberOfModels();
  similarity.draw(numberOfSamples);

  // Where the voxels of a patch lie around its sample. Patches are in the order of their places.
  const std::vector<std::size_t> order = OrderOfPlace(samples);
  const auto                     fixedOffsets = [&](std::size_t m, std::size_t p) -> const auto & {
    return similarity.fixedOffsets(m, order[p]);
  };
  const auto movingOffsets = [&](std::size_t m, std::size_t p) -> const auto & {
    return similarity.movingOffsets(m, order[p]);
  };
  const auto writePatch = [&](std::size_t p, const std::vector<impact::Vector> & offsets, double * points) {
    const double * const centre = samples.fixedPoints.data() + 3 * order[p];
    for (const impact::Vector & offset : offsets)
    {
      for (std::size_t i = 0; i < 3; ++i)
      {
        *points++ = centre[i] + offset[i];
      }
    }
  };

  impact::StageTimer timer(&m_Times, impact::Stage::Sampling);

  // For each model: intensities of the patches, and the moving image's gradient at each of their voxels.
  m_FixedPatches.resize(numberOfModels);
  m_MovingPatches.resize(numberOfModels);
  m_MovingGradients.resize(numberOfModels);
  for (std::size_t m = 0; m < numberOfModels; ++m)
  {
    const std::size_t fixedVoxels = fixedOffsets(m, 0).size();
    const std::size_t movingVoxels = movingOffsets(m, 0).size();
    m_FixedPatches[m].resize(numberOfSamples * fixedVoxels);
    m_MovingPatches[m].resize(numberOfSamples * movingVoxels);
    m_MovingGradients[m].resize(derivative ? 3 * numberOfSamples * movingVoxels : 0);
    // Some patches at a time: enough points for what is read to be on its way while others are worked on.
    constexpr std::size_t perTask = 16;
    constexpr std::size_t pointsAtOnce = 1024;
    const std::size_t atOnce = std::clamp<std::size_t>(pointsAtOnce / std::max(fixedVoxels, movingVoxels), 1, perTask);
    m_Workers->run((numberOfSamples + perTask - 1) / perTask, [&, m](std::int64_t task) {
      std::vector<double> points(3 * atOnce * std::max(fixedVoxels, movingVoxels));
      const std::size_t   end = std::min(numberOfSamples, (static_cast<std::size_t>(task) + 1) * perTask);
      for (std::size_t first = static_cast<std::size_t>(task) * perTask; first < end; first += atOnce)
      {
        const std::size_t last = std::min(end, first + atOnce);
        for (std::size_t s = first; s < last; ++s)
        {
          writePatch(s, fixedOffsets(m, s), points.data() + 3 * (s - first) * fixedVoxels);
        }
        m_FixedIntensity.At(
          points.data(), (last - first) * fixedVoxels, m_FixedPatches[m].data() + first * fixedVoxels, nullptr);
        for (std::size_t s = first; s < last; ++s)
        {
          writePatch(s, movingOffsets(m, s), points.data() + 3 * (s - first) * movingVoxels);
        }
        m_Mapper.Map(points.data(), (last - first) * movingVoxels, points.data());
        m_MovingIntensity.At(points.data(),
                             (last - first) * movingVoxels,
                             m_MovingPatches[m].data() + first * movingVoxels,
                             derivative ? m_MovingGradients[m].data() + 3 * first * movingVoxels : nullptr);
      }
    });
  }

  timer.stop();

  impact::PatchSimilarity::Patches intensityGradients;
  const double value = similarity.evaluate(m_FixedPatches, m_MovingPatches, derivative ? &intensityGradients : nullptr);

  if (derivative)
  {
    // The derivatives of all models add up.
    DerivativeType ofModel(derivative->GetSize());
    for (std::size_t m = 0; m < numberOfModels; ++m)
    {
      PointGradients points;
      points.numberOfBatches = numberOfSamples;
      points.perBatch = movingOffsets(m, 0).size();
      points.fill = [&, m](std::size_t s, double * fixedPoints, double * gradients) {
        writePatch(s, movingOffsets(m, s), fixedPoints);
        for (std::size_t v = 0; v < points.perBatch; ++v, gradients += 3)
        {
          const std::size_t place = s * points.perBatch + v;
          for (std::size_t i = 0; i < 3; ++i)
          {
            gradients[i] = static_cast<double>(intensityGradients[m][place]) * m_MovingGradients[m][3 * place + i];
          }
          this->ScaleGradient(gradients);
        }
        return points.perBatch;
      };
      this->ChainRule(points, ofModel);
      *derivative += ofModel;
    }
  }
  return value;
}

} // namespace itk

#endif
