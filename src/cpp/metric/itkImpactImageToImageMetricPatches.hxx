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
    for (const impact::Vector & o : offsets)
    {
      patches.push_back(image.At({ centre[0] + o[0], centre[1] + o[1], centre[2] + o[2] }, nullptr));
    }
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
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluatePatches(const ValidSamples & samples,
                                                                     DerivativeType * derivative) const -> MeasureType
{
  impact::PatchSimilarity & similarity = *m_PatchSimilarity;
  const std::size_t         numberOfSamples = samples.size();
  const std::size_t         numberOfModels = similarity.numberOfModels();
  similarity.draw(numberOfSamples);

  // Where the voxels of a patch lie around its sample.
  const auto writePatch = [&samples](std::size_t s, const std::vector<impact::Vector> & offsets, double * points) {
    const double * const centre = samples.fixedPoints.data() + 3 * s;
    for (const impact::Vector & offset : offsets)
    {
      for (std::size_t i = 0; i < 3; ++i)
      {
        *points++ = centre[i] + offset[i];
      }
    }
  };

  // For each model: intensities of the patches, and the moving image's gradient at each of their voxels.
  impact::PatchSimilarity::Patches fixed(numberOfModels);
  impact::PatchSimilarity::Patches moving(numberOfModels);
  std::vector<std::vector<float>>  movingGradients(numberOfModels);
  for (std::size_t m = 0; m < numberOfModels; ++m)
  {
    const std::size_t fixedVoxels = similarity.fixedOffsets(m, 0).size();
    const std::size_t movingVoxels = similarity.movingOffsets(m, 0).size();
    fixed[m].resize(numberOfSamples * fixedVoxels);
    moving[m].resize(numberOfSamples * movingVoxels);
    movingGradients[m].resize(derivative ? 3 * numberOfSamples * movingVoxels : 0);
    m_Workers->run(numberOfSamples, [&, m](std::size_t s) {
      std::vector<double> points(3 * std::max(fixedVoxels, movingVoxels));
      writePatch(s, similarity.fixedOffsets(m, s), points.data());
      for (std::size_t v = 0; v < fixedVoxels; ++v)
      {
        fixed[m][s * fixedVoxels + v] =
          m_FixedIntensity.At({ points[3 * v], points[3 * v + 1], points[3 * v + 2] }, nullptr);
      }
      writePatch(s, similarity.movingOffsets(m, s), points.data());
      m_Mapper.Map(points.data(), movingVoxels, points.data());
      for (std::size_t v = 0; v < movingVoxels; ++v)
      {
        const std::size_t place = s * movingVoxels + v;
        impact::Vector    gradient{};
        moving[m][place] = m_MovingIntensity.At({ points[3 * v], points[3 * v + 1], points[3 * v + 2] },
                                                derivative ? &gradient : nullptr);
        if (derivative)
        {
          std::copy(gradient.begin(), gradient.end(), movingGradients[m].begin() + 3 * place);
        }
      }
    });
  }

  impact::PatchSimilarity::Patches intensityGradients;
  const double value = similarity.evaluate(fixed, moving, derivative ? &intensityGradients : nullptr);

  if (derivative)
  {
    // The derivatives of all models add up.
    DerivativeType ofModel(derivative->GetSize());
    for (std::size_t m = 0; m < numberOfModels; ++m)
    {
      PointGradients points;
      points.numberOfBatches = numberOfSamples;
      points.perBatch = similarity.movingOffsets(m, 0).size();
      points.fill = [&, m](std::size_t s, double * fixedPoints, double * gradients) {
        writePatch(s, similarity.movingOffsets(m, s), fixedPoints);
        for (std::size_t v = 0; v < points.perBatch; ++v, gradients += 3)
        {
          const std::size_t place = s * points.perBatch + v;
          for (std::size_t i = 0; i < 3; ++i)
          {
            gradients[i] = static_cast<double>(intensityGradients[m][place]) * movingGradients[m][3 * place + i];
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
