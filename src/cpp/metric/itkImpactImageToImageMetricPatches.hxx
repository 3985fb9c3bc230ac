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

  const auto patchPoint = [&samples](std::size_t s, const impact::Vector & offset) {
    return impact::Vector{ samples.fixedPoints[3 * s] + offset[0],
                           samples.fixedPoints[3 * s + 1] + offset[1],
                           samples.fixedPoints[3 * s + 2] + offset[2] };
  };

  // For each model: intensities of the patches, and the moving image's gradient at each of their voxels.
  impact::PatchSimilarity::Patches fixed(numberOfModels);
  impact::PatchSimilarity::Patches moving(numberOfModels);
  std::vector<std::vector<double>> movingGradients(numberOfModels);
  for (std::size_t m = 0; m < numberOfModels; ++m)
  {
    const std::size_t fixedVoxels = similarity.fixedOffsets(m, 0).size();
    const std::size_t movingVoxels = similarity.movingOffsets(m, 0).size();
    fixed[m].resize(numberOfSamples * fixedVoxels);
    moving[m].resize(numberOfSamples * movingVoxels);
    movingGradients[m].resize(derivative ? 3 * numberOfSamples * movingVoxels : 0);
    this->ParallelFor(numberOfSamples, [&, m](std::size_t s) {
      const auto & fixedOffsets = similarity.fixedOffsets(m, s);
      for (std::size_t v = 0; v < fixedVoxels; ++v)
      {
        fixed[m][s * fixedVoxels + v] = m_FixedIntensity.At(patchPoint(s, fixedOffsets[v]), nullptr);
      }
      const auto & movingOffsets = similarity.movingOffsets(m, s);
      for (std::size_t v = 0; v < movingVoxels; ++v)
      {
        const impact::Vector point = this->Map(patchPoint(s, movingOffsets[v]));
        const std::size_t    place = s * movingVoxels + v;
        impact::Vector       gradient{};
        moving[m][place] = m_MovingIntensity.At(point, derivative ? &gradient : nullptr);
        if (derivative)
        {
          std::copy(gradient.begin(), gradient.end(), movingGradients[m].begin() + 3 * place);
        }
      }
    });
  }

  impact::PatchSimilarity::Patches intensityGradients;
  const double value = similarity.evaluate(fixed, moving, derivative ? &intensityGradients : nullptr);

  for (std::size_t m = 0; derivative && m < numberOfModels; ++m)
  {
    std::vector<double> & gradients = movingGradients[m];
    const std::size_t     voxels = similarity.movingOffsets(m, 0).size();
    this->ParallelFor(numberOfSamples, [&](std::size_t s) {
      for (std::size_t place = s * voxels; place < (s + 1) * voxels; ++place)
      {
        for (std::size_t i = 0; i < 3; ++i)
        {
          gradients[3 * place + i] *= intensityGradients[m][place];
        }
        this->ScaleGradient(gradients.data() + 3 * place);
      }
    });
    PointGradients points;
    points.count = numberOfSamples * voxels;
    points.fixedPoint = [&, m](std::size_t number) {
      const std::size_t s = number / voxels;
      return patchPoint(s, similarity.movingOffsets(m, s)[number % voxels]);
    };
    points.gradient = [&gradients](std::size_t number) { return gradients.data() + 3 * number; };
    this->ChainRule(points, *derivative);
  }
  return value;
}

} // namespace itk

#endif
