#ifndef itkImpactImageToImageMetric_hxx
#define itkImpactImageToImageMetric_hxx

#include "itkImpactImageToImageMetric.h"

#include "impactGridOf.h"
#include "impactParallelFor.h"
#include "python_gil.h"

#include <algorithm>
#include <cmath>

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
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateStatic(const ValidSamples &   samples,
                                                                    const ParametersType & parameters,
                                                                    DerivativeType * derivative) const -> MeasureType
{
  // Where the moving features are those of a warped image, its points take the place of the moving image's.
  const bool                  ofWarpedImage = m_LevelSettings.featuresMapUpdateInterval > 0;
  std::vector<impact::Matrix> toWarped;
  const std::vector<double>   warpedPoints =
    ofWarpedImage ? this->WarpedPoints(samples, parameters, toWarped) : std::vector<double>();

  std::vector<double> gradient;
  const double        value = m_StaticSimilarity->evaluate(
    samples.fixedPoints, ofWarpedImage ? warpedPoints : samples.movingPoints, derivative ? &gradient : nullptr);
  if (derivative)
  {
    PointGradients points;
    points.count = samples.size();
    points.fixedPoint = [&samples](std::size_t s) {
      return impact::Vector{ samples.fixedPoints[3 * s],
                             samples.fixedPoints[3 * s + 1],
                             samples.fixedPoints[3 * s + 2] };
    };
    points.gradient = [&gradient](std::size_t s) { return gradient.data() + 3 * s; };
    for (std::size_t s = 0; s < points.count; ++s)
    {
      double * const g = gradient.data() + 3 * s;
      if (ofWarpedImage)
      {
        const impact::Matrix & m = toWarped[s];
        const impact::Vector   ofPoint{ g[0], g[1], g[2] };
        for (std::size_t i = 0; i < 3; ++i)
        {
          g[i] = m[0][i] * ofPoint[0] + m[1][i] * ofPoint[1] + m[2][i] * ofPoint[2];
        }
      }
      this->ScaleGradient(g);
    }
    this->ChainRule(points, *derivative);
  }
  return value;
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::UpdateMovingFeatures(const ParametersType & parameters) const
{
  std::vector<std::vector<float>> warped;
  for (const impact::Grid & grid : m_StaticSimilarity->warpedGrids())
  {
    std::vector<float> voxels(static_cast<std::size_t>(grid.numberOfVoxels()));
    const auto         perSlice = static_cast<std::size_t>(grid.size[0]);
    this->ParallelFor(voxels.size() / perSlice, [&](std::size_t line) {
      const auto y = static_cast<std::int64_t>(line) % grid.size[1];
      const auto z = static_cast<std::int64_t>(line) / grid.size[1];
      for (std::size_t x = 0; x < perSlice; ++x)
      {
        const impact::Vector point =
          grid.pointAt({ static_cast<double>(x), static_cast<double>(y), static_cast<double>(z) });
        voxels[line * perSlice + x] = m_MovingIntensity.At(this->Map(point), nullptr);
      }
    });
    warped.push_back(std::move(voxels));
  }
  m_StaticSimilarity->updateMovingFeatures(warped);
  m_ParametersOfWarp = parameters;
  m_MovingFeaturesAreDue = false;
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::WarpedPoints(const ValidSamples &          samples,
                                                                  const ParametersType &        parameters,
                                                                  std::vector<impact::Matrix> & toWarped) const
  -> std::vector<double>
{
  std::vector<double> points(samples.fixedPoints);
  toWarped.resize(samples.size());
  const auto & transform = *(this->m_AdvancedTransform);

  this->SetTransformParameters(m_ParametersOfWarp);
  constexpr std::size_t perChunk = 256;
  this->ParallelFor((samples.size() + perChunk - 1) / perChunk, [&](std::size_t chunk) {
    for (std::size_t s = chunk * perChunk; s < std::min(samples.size(), (chunk + 1) * perChunk); ++s)
    {
      FixedPointType fixedPoint;
      std::copy_n(samples.fixedPoints.begin() + 3 * s, FixedImageDimension, fixedPoint.Begin());
      const MovingPointType movingPoint = this->TransformPoint(fixedPoint);

      typename Superclass::AdvancedTransformType::SpatialJacobianType spatialJacobian;
      transform.GetSpatialJacobian(fixedPoint, spatialJacobian);
      impact::Matrix jacobian{ { { 1.0, 0.0, 0.0 }, { 0.0, 1.0, 0.0 }, { 0.0, 0.0, 1.0 } } };
      for (unsigned int i = 0; i < FixedImageDimension; ++i)
      {
        for (unsigned int j = 0; j < FixedImageDimension; ++j)
        {
          jacobian[i][j] = spatialJacobian(i, j);
        }
      }
      // Where the transform has folded space onto itself there is no way back: the sample stays where it is.
      const bool invertible = std::abs(impact::determinant(jacobian)) > 1e-3;
      toWarped[s] = invertible ? impact::inverse(jacobian) : impact::Matrix{};
      for (unsigned int i = 0; i < FixedImageDimension; ++i)
      {
        for (unsigned int j = 0; j < FixedImageDimension; ++j)
        {
          points[3 * s + i] += toWarped[s][i][j] * (samples.movingPoints[3 * s + j] - movingPoint[j]);
        }
      }
    }
  });
  this->SetTransformParameters(parameters);
  return points;
}


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
