#ifndef itkImpactImageToImageMetricDevice_hxx
#define itkImpactImageToImageMetricDevice_hxx

// Evaluations that stay on the level's device: parameters and new samples go up, value and derivative come down.

#include "itkImpactImageToImageMetric.h"

#include "itkMath.h"

#include <algorithm>

namespace itk
{

template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::FindWhyNotOnDevice() const
{
  if (m_LevelSettings.gpu < 0 && !m_LevelSettings.asOnGpu)
  {
    return "GPU is -1";
  }
  if (!m_Mapper.IsKnown())
  {
    return std::string("the transform ") + this->m_AdvancedTransform->GetNameOfClass() +
           ", or one before it, is known to elastix alone";
  }
  if (m_LevelSettings.featuresMapUpdateInterval > 0)
  {
    return "FeaturesMapUpdateInterval warps the moving image";
  }
  if (m_FixedBSpline)
  {
    return "images are interpolated by B-splines of order " + std::to_string(m_FixedBSpline->GetSplineOrder());
  }
  const auto * const mask = this->GetMovingImageMask();
  if (mask && !mask->GetObjectToWorldTransform()->GetMatrix().GetVnlMatrix().is_identity())
  {
    return "the moving mask is not an image in the space of the images";
  }
  return {};
}


template <typename TFixedImage, typename TMovingImage>
impact::DeviceGeometry
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetDeviceGeometry() const
{
  impact::DeviceGeometry geometry;
  if (const auto * const mask = this->GetMovingImageMask())
  {
    const auto &                 image = *mask->GetImage();
    impact::DeviceGeometry::Mask voxels;
    voxels.grid = impact::GridOf(image);
    const auto * const from = image.GetBufferPointer();
    voxels.voxels.resize(static_cast<std::size_t>(voxels.grid.numberOfVoxels()));
    std::transform(from, from + voxels.voxels.size(), voxels.voxels.begin(), [mask](const auto value) {
      return mask->GetUseMaskValue() ? value == mask->GetMaskValue() : value != 0;
    });
    geometry.movingMask = std::move(voxels);
  }
  if (this->GetUseMovingImageDerivativeScales())
  {
    // What is linear in the gradient is known from what it makes of the axes.
    geometry.gradientScale.emplace();
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      impact::Vector column{};
      column[axis] = 1.0;
      this->ScaleGradient(column.data());
      for (std::size_t i = 0; i < 3; ++i)
      {
        (*geometry.gradientScale)[i][axis] = column[i];
      }
    }
  }
  return geometry;
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateOnDevice(DerivativeType * derivative) const -> MeasureType
{
  const auto &        sampleContainer = *(this->GetImageSampler()->GetOutput());
  std::vector<double> points(3 * sampleContainer.size(), 0.0);
  for (std::size_t s = 0; s < sampleContainer.size(); ++s)
  {
    std::copy_n(sampleContainer[s].m_ImageCoordinates.Begin(), FixedImageDimension, points.begin() + 3 * s);
  }
  const impact::KnownTransform transform = m_Mapper.GetKnown();
  impact::DeviceEvaluation     evaluation{ &transform, nullptr };
  if (points != m_PointsOnDevice)
  {
    m_PointsOnDevice = std::move(points);
    evaluation.newPoints = &m_PointsOnDevice;
  }

  impact::DeviceResult result;
  try
  {
    result = m_StaticSimilarity ? m_StaticSimilarity->evaluateOnDevice(evaluation, derivative != nullptr)
                                : m_PatchSimilarity->evaluateOnDevice(evaluation, derivative != nullptr);
  }
  catch (const std::exception &)
  {
    m_PointsOnDevice.clear();
    throw;
  }
  this->m_NumberOfPixelsCounted = static_cast<SizeValueType>(result.numberOfSamples);
  this->CheckNumberOfSamples();
  if (derivative)
  {
    derivative->SetSize(this->GetNumberOfParameters());
    derivative->Fill(0.0);
    if (!result.sums.empty())
    {
      m_Mapper.FromSums(result.sums.data(), derivative->data_block(), derivative->GetSize());
    }
  }
  return result.value;
}


template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::DescribeDevice() const
{
  if (m_LevelSettings.gpu < 0)
  {
    return {};
  }
  const std::string gpu = "GPU " + std::to_string(m_LevelSettings.gpu);
  return this->GetEvaluatesOnDevice() ? "  On " + gpu + ": features, distances, mapping of points and chain rule\n"
                                      : "  On " + gpu +
                                          ": features and distances. On the CPU: mapping of points and "
                                          "chain rule, because " +
                                          m_WhyNotOnDevice + "\n";
}

} // namespace itk

#endif
