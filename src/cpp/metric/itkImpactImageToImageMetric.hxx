#ifndef itkImpactImageToImageMetric_hxx
#define itkImpactImageToImageMetric_hxx

#include "itkImpactImageToImageMetric.h"

#include "impactGridOf.h"
#include "impactParallelFor.h"
#include "python_gil.h"

#include <algorithm>

namespace itk
{

template <typename TFixedImage, typename TMovingImage>
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ImpactImageToImageMetric()
{
  this->SetUseImageSampler(true);
  this->SetUseFixedImageLimiter(false);
  this->SetUseMovingImageLimiter(false);
}


template <typename TFixedImage, typename TMovingImage>
template <typename TImage>
impact::ImageView
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ViewOf(const TImage & image, std::vector<float> & buffer)
{
  impact::ImageView view;
  view.grid = impact::GridOf(image);
  if constexpr (std::is_same_v<typename TImage::PixelType, float>)
  {
    buffer.clear();
    view.pixels = image.GetBufferPointer();
  }
  else
  {
    buffer.assign(image.GetBufferPointer(), image.GetBufferPointer() + view.grid.numberOfVoxels());
    view.pixels = buffer.data();
  }
  return view;
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Initialize()
{
  Superclass::Initialize();

  // The features of the last level go before those of this one are made.
  m_StaticSimilarity.reset();
  m_PatchSimilarity.reset();

  impact::SimilarityInput input;
  input.fixed = ViewOf(*this->GetFixedImage(), m_FixedPixels);
  input.moving = ViewOf(*this->GetMovingImage(), m_MovingPixels);
  input.settings = m_LevelSettings;
  input.models = m_Models;
  input.seed = m_Seed;
  input.writer = m_MapWriter;
  // ITK may make many more work units than there are threads to run them; torch takes every thread it is given.
  input.numberOfThreads =
    static_cast<int>(this->m_UseMultiThread ? std::min({ this->GetNumberOfWorkUnits(),
                                                         this->m_Threader->GetMaximumNumberOfThreads(),
                                                         MultiThreaderBase::GetGlobalMaximumNumberOfThreads() })
                                            : 1);

  // Both images are interpolated alike, or a perfect match would not be one.
  const auto * movingBSpline =
    dynamic_cast<const typename MovingIntensityType::BSplineType *>(this->m_Interpolator.GetPointer());
  if (movingBSpline && movingBSpline->GetSplineOrder() < 2)
  {
    movingBSpline = nullptr;
  }
  m_FixedBSpline = nullptr;
  if (movingBSpline && m_LevelSettings.mode == impact::Mode::Jacobian)
  {
    m_FixedBSpline = FixedIntensityType::BSplineType::New();
    m_FixedBSpline->SetSplineOrder(movingBSpline->GetSplineOrder());
    m_FixedBSpline->SetInputImage(this->GetFixedImage());
  }
  m_FixedIntensity.Set(*this->GetFixedImage(), input.fixed, m_FixedBSpline);
  m_MovingIntensity.Set(*this->GetMovingImage(), input.moving, movingBSpline);
  m_MovingDirection = input.moving.grid.direction;
  m_MovingFeaturesAreDue = m_LevelSettings.featuresMapUpdateInterval > 0;

  const impact::PythonGilRelease gilRelease;
  if (m_LevelSettings.mode == impact::Mode::Static)
  {
    m_StaticSimilarity = std::make_unique<impact::StaticSimilarity>(input);
  }
  else
  {
    m_PatchSimilarity = std::make_unique<impact::PatchSimilarity>(input);
    this->TryPatches();
  }
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetValue(const ParametersType & parameters) const -> MeasureType
{
  return this->Evaluate(parameters, nullptr);
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetDerivative(const ParametersType & parameters,
                                                                   DerivativeType &       derivative) const
{
  this->Evaluate(parameters, &derivative);
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetValueAndDerivative(const ParametersType & parameters,
                                                                           MeasureType &          value,
                                                                           DerivativeType &       derivative) const
{
  value = this->Evaluate(parameters, &derivative);
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Evaluate(const ParametersType & parameters,
                                                              DerivativeType *       derivative) const -> MeasureType
{
  this->BeforeThreadedGetValueAndDerivative(parameters);

  const impact::PythonGilRelease gilRelease;
  const ValidSamples             samples = this->MapSamples();
  this->m_NumberOfPixelsCounted = samples.size();
  this->CheckNumberOfSamples();
  if (derivative)
  {
    derivative->SetSize(this->GetNumberOfParameters());
    derivative->Fill(0.0);
  }
  if (samples.size() == 0)
  {
    return 0.0;
  }
  try
  {
    if (m_MovingFeaturesAreDue)
    {
      this->UpdateMovingFeatures(parameters);
    }
    return m_StaticSimilarity ? this->EvaluateStatic(samples, parameters, derivative)
                              : this->EvaluatePatches(samples, derivative);
  }
  catch (const ExceptionObject &)
  {
    throw;
  }
  catch (const std::exception & error)
  {
    itkExceptionMacro("Metric \"Impact\": " << impact::messageOf(error));
  }
}


template <typename TFixedImage, typename TMovingImage>
impact::Vector
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Map(const impact::Vector & point) const
{
  FixedPointType fixedPoint;
  std::copy_n(point.begin(), FixedImageDimension, fixedPoint.Begin());
  const MovingPointType movingPoint = this->TransformPoint(fixedPoint);
  impact::Vector        result{};
  std::copy_n(movingPoint.Begin(), MovingImageDimension, result.begin());
  return result;
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::MapSamples() const -> ValidSamples
{
  const auto &      sampleContainer = *(this->GetImageSampler()->GetOutput());
  const std::size_t count = sampleContainer.size();
  ValidSamples      all;
  std::vector<char> valid(count, 0);
  all.fixedPoints.assign(3 * count, 0.0);
  all.movingPoints.assign(3 * count, 0.0);

  constexpr std::size_t perChunk = 256;
  this->ParallelFor((count + perChunk - 1) / perChunk, [&](std::size_t chunk) {
    for (std::size_t s = chunk * perChunk; s < std::min(count, (chunk + 1) * perChunk); ++s)
    {
      const FixedPointType & fixedPoint = sampleContainer[s].m_ImageCoordinates;
      const MovingPointType  movingPoint = this->TransformPoint(fixedPoint);
      valid[s] = this->m_Interpolator->IsInsideBuffer(movingPoint) && this->IsInsideMovingMask(movingPoint);
      for (unsigned int i = 0; i < FixedImageDimension; ++i)
      {
        all.fixedPoints[3 * s + i] = fixedPoint[i];
        all.movingPoints[3 * s + i] = movingPoint[i];
      }
    }
  });

  // Close the gaps, in order.
  std::size_t kept = 0;
  for (std::size_t s = 0; s < count; ++s)
  {
    if (valid[s])
    {
      std::copy_n(all.fixedPoints.begin() + 3 * s, 3, all.fixedPoints.begin() + 3 * kept);
      std::copy_n(all.movingPoints.begin() + 3 * s, 3, all.movingPoints.begin() + 3 * kept);
      ++kept;
    }
  }
  all.fixedPoints.resize(3 * kept);
  all.movingPoints.resize(3 * kept);
  return all;
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ChainRule(const PointGradients & points,
                                                               DerivativeType &       derivative) const
{
  using GradientType = typename Superclass::AdvancedTransformType::MovingImageGradientType;
  const auto & transform = *(this->m_AdvancedTransform);

  // Each chunk has a sum of its own, added up in order: their number depends on the problem alone, never on the
  // threads.
  const std::size_t numberOfParameters = derivative.GetSize();
  const std::size_t numberOfChunks = std::min<std::size_t>(numberOfParameters > 200000 ? 8 : 32, points.count);
  std::vector<std::vector<double>> sums(numberOfChunks);
  this->ParallelFor(numberOfChunks, [&](std::size_t chunk) {
    std::vector<double> & sum = sums[chunk];
    sum.assign(numberOfParameters, 0.0);
    const auto                                      nonZeros = transform.GetNumberOfNonZeroJacobianIndices();
    DerivativeType                                  product(nonZeros);
    typename Superclass::NonZeroJacobianIndicesType indices(nonZeros);
    FixedPointType                                  fixedPoint;
    GradientType                                    gradient;
    const std::size_t                               end = points.count * (chunk + 1) / numberOfChunks;
    for (std::size_t number = points.count * chunk / numberOfChunks; number < end; ++number)
    {
      const double * const pointGradient = points.gradient(number);
      if (std::all_of(pointGradient, pointGradient + FixedImageDimension, [](double g) { return g == 0.0; }))
      {
        continue;
      }
      const impact::Vector point = points.fixedPoint(number);
      std::copy_n(point.begin(), FixedImageDimension, fixedPoint.Begin());
      std::copy_n(pointGradient, FixedImageDimension, gradient.Begin());
      transform.EvaluateJacobianWithImageGradientProduct(fixedPoint, gradient, product, indices);
      for (std::size_t i = 0; i < indices.size(); ++i)
      {
        sum[indices[i]] += product[i];
      }
    }
  });

  constexpr std::size_t parametersPerChunk = 4096;
  this->ParallelFor((numberOfParameters + parametersPerChunk - 1) / parametersPerChunk, [&](std::size_t chunk) {
    const std::size_t end = std::min(numberOfParameters, (chunk + 1) * parametersPerChunk);
    for (std::size_t p = chunk * parametersPerChunk; p < end; ++p)
    {
      for (const std::vector<double> & sum : sums)
      {
        derivative[p] += sum[p];
      }
    }
  });
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ScaleGradient(double * const gradient) const
{
  if (!this->GetUseMovingImageDerivativeScales())
  {
    return;
  }
  const auto scales = this->GetMovingImageDerivativeScales();
  if (!this->GetScaleGradientWithRespectToMovingImageOrientation())
  {
    for (unsigned int i = 0; i < MovingImageDimension; ++i)
    {
      gradient[i] *= scales[i];
    }
    return;
  }
  const impact::Matrix & direction = m_MovingDirection;
  impact::Vector         scaled{};
  for (unsigned int axis = 0; axis < MovingImageDimension; ++axis)
  {
    double along = 0.0;
    for (unsigned int i = 0; i < MovingImageDimension; ++i)
    {
      along += direction[i][axis] * gradient[i];
    }
    for (unsigned int i = 0; i < MovingImageDimension; ++i)
    {
      scaled[i] += direction[i][axis] * scales[axis] * along;
    }
  }
  std::copy_n(scaled.begin(), MovingImageDimension, gradient);
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ParallelFor(
  std::size_t                              count,
  const std::function<void(std::size_t)> & function) const
{
  if (!this->m_UseMultiThread || count < 2)
  {
    for (std::size_t i = 0; i < count; ++i)
    {
      function(i);
    }
    return;
  }
  impact::ParallelFor(*this->m_Threader, count, function);
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Release()
{
  m_StaticSimilarity.reset();
  m_PatchSimilarity.reset();
  m_Models.reset();
  m_FixedPixels = {};
  m_MovingPixels = {};
}


template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::DescribeFeatures() const
{
  return m_StaticSimilarity ? m_StaticSimilarity->describe() : std::string();
}

} // namespace itk

#endif
