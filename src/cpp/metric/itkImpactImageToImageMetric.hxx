#ifndef itkImpactImageToImageMetric_hxx
#define itkImpactImageToImageMetric_hxx

#include "itkImpactImageToImageMetric.h"

#include "impact/api/messages.h"
#include "impact/base/python_gil.h"
#include "impactGridOf.h"
#include "impactPointMapper.h"
#include "impactSplineIntensity.h"
#include "itkComputeImageExtremaFilter.h"

#include <algorithm>
#include <cmath>
#include <utility>

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
template <typename TImage, typename TMask>
impact::IntensityRange
ImpactImageToImageMetric<TFixedImage, TMovingImage>::RangeOf(const TImage & image, const TMask * const mask)
{
  const auto extrema = ComputeImageExtremaFilter<TImage>::New();
  extrema->SetInput(&image);
  extrema->SetImageSpatialMask(mask);
  extrema->Update();
  return { static_cast<double>(extrema->GetMinimum()), static_cast<double>(extrema->GetMaximum()) };
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Initialize()
{
  Superclass::Initialize();

  m_Level.reset(); // the last one's features, before those of this one are made

  impact::MetricLevelInput  input;
  impact::SimilarityInput & similarity = input.similarity;
  similarity.fixed = ViewOf(*this->GetFixedImage(), input.fixedPixels);
  similarity.moving = ViewOf(*this->GetMovingImage(), input.movingPixels);
  similarity.settings = m_LevelSettings;
  similarity.engine = m_Engine.value_or(impact::engineOf(m_LevelSettings));
  similarity.models = m_Models;
  similarity.seed = m_Seed;
  similarity.writer = m_MapWriter;
  const int numberOfThreads = this->GetNumberOfThreads();
  if (!m_Workers || m_Workers->numberOfThreads() != numberOfThreads)
  {
    m_Workers = std::make_shared<impact::Workers>(numberOfThreads);
  }
  similarity.workers = m_Workers;

  this->MakeIntensities(input);
  input.mapping = std::make_unique<impact::PointMapper<FixedImageDimension>>(*(this->m_AdvancedTransform));
  input.gradientScale = this->GetGradientScale();
  if (m_LevelSettings.mutualInformationWeight > 0.0)
  {
    input.fixedRange = RangeOf(*this->GetFixedImage(), this->GetFixedImageMask());
    input.movingRange = RangeOf(*this->GetMovingImage(), this->GetMovingImageMask());
  }
  if (m_LevelSettings.bendingEnergyLimit > 0.0)
  {
    const auto & start = this->m_AdvancedTransform->GetParameters();
    input.start.assign(start.begin(), start.end());
  }
  if (similarity.engine == impact::Engine::Torch)
  {
    input.whyNotOnDevice = this->FindWhyNotOnDevice(*input.mapping);
    if (input.whyNotOnDevice.empty())
    {
      similarity.deviceGeometry = { this->GetMaskForDevice(), input.gradientScale };
    }
  }
  input.mayMakeFeaturesAside = m_MakesFeaturesAside;
  input.tell = m_MessageWriter;
  m_Level = std::make_unique<impact::MetricLevel>(std::move(input));
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::MakeIntensities(impact::MetricLevelInput & input) const
{
  const auto make = [](const auto & image, const impact::ImageView & view, const auto * bspline) {
    using ImageType = std::remove_const_t<std::remove_reference_t<decltype(image)>>;
    return bspline ? std::unique_ptr<impact::Intensity>(
                       std::make_unique<impact::SplineIntensity<ImageType>>(image, view, *bspline))
                   : std::make_unique<impact::Intensity>(view);
  };
  const auto * bspline = dynamic_cast<const typename impact::SplineIntensity<TMovingImage>::BSplineType *>(
    this->m_Interpolator.GetPointer());
  if (bspline && bspline->GetSplineOrder() < 2)
  {
    bspline = nullptr;
  }
  typename impact::SplineIntensity<TFixedImage>::BSplineType::Pointer ofFixed;
  if (bspline && m_LevelSettings.mode == impact::Mode::Jacobian)
  {
    ofFixed = impact::SplineIntensity<TFixedImage>::BSplineType::New();
    ofFixed->SetSplineOrder(bspline->GetSplineOrder());
    ofFixed->SetInputImage(this->GetFixedImage());
  }
  input.fixed = make(*this->GetFixedImage(), input.similarity.fixed, ofFixed.GetPointer());
  input.moving = make(*this->GetMovingImage(), input.similarity.moving, bspline);
}


template <typename TFixedImage, typename TMovingImage>
int
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetNumberOfThreads() const
{
  // elastix's threader may make many more work units than there are threads to run them.
  return static_cast<int>(this->m_UseMultiThread ? std::min({ this->GetNumberOfWorkUnits(),
                                                              this->m_Threader->GetMaximumNumberOfThreads(),
                                                              MultiThreaderBase::GetGlobalMaximumNumberOfThreads() })
                                                 : 1);
}


template <typename TFixedImage, typename TMovingImage>
std::optional<impact::Matrix>
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetGradientScale() const
{
  if (!this->GetUseMovingImageDerivativeScales())
  {
    return std::nullopt;
  }
  // D diag(scales) D^T, where D has the axes along which the scales hold.
  impact::Matrix axes{ { { 1.0, 0.0, 0.0 }, { 0.0, 1.0, 0.0 }, { 0.0, 0.0, 1.0 } } };
  if (this->GetScaleGradientWithRespectToMovingImageOrientation())
  {
    axes = impact::GridOf(*this->GetMovingImage()).direction;
  }
  impact::Vector scales{ 1.0, 1.0, 1.0 };
  std::copy_n(this->GetMovingImageDerivativeScales().Begin(), MovingImageDimension, scales.begin());
  impact::Matrix result{};
  for (std::size_t i = 0; i < 3; ++i)
  {
    for (std::size_t j = 0; j < 3; ++j)
    {
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        result[i][j] += axes[i][axis] * scales[axis] * axes[j][axis];
      }
    }
  }
  return result;
}


template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::FindWhyNotOnDevice(const impact::PointMapping & mapping) const
{
  if (!mapping.IsKnown())
  {
    return std::string("the transform ") + this->m_AdvancedTransform->GetNameOfClass() +
           ", or one before it, is known to elastix alone";
  }
  if (m_LevelSettings.featuresMapUpdateInterval > 0)
  {
    return "FeaturesMapUpdateInterval warps the moving image";
  }
  const auto * const bspline = dynamic_cast<const typename impact::SplineIntensity<TMovingImage>::BSplineType *>(
    this->m_Interpolator.GetPointer());
  if (bspline && bspline->GetSplineOrder() > 1 && m_LevelSettings.mode == impact::Mode::Jacobian)
  {
    return "images are interpolated by B-splines of order " + std::to_string(bspline->GetSplineOrder());
  }
  const auto * const mask = this->GetMovingImageMask();
  if (mask && !mask->GetObjectToWorldTransform()->GetMatrix().GetVnlMatrix().is_identity())
  {
    return "the moving mask is not an image in the space of the images";
  }
  return {};
}


template <typename TFixedImage, typename TMovingImage>
std::optional<impact::DeviceGeometry::Mask>
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetMaskForDevice() const
{
  const auto * const mask = this->GetMovingImageMask();
  if (!mask)
  {
    return std::nullopt;
  }
  const auto &                 image = *mask->GetImage();
  impact::DeviceGeometry::Mask result;
  result.grid = impact::GridOf(image);
  const auto * const from = image.GetBufferPointer();
  result.voxels.resize(static_cast<std::size_t>(result.grid.numberOfVoxels()));
  std::transform(from, from + result.voxels.size(), result.voxels.begin(), [mask](const auto value) {
    return mask->GetUseMaskValue() ? value == mask->GetMaskValue() : value != 0;
  });
  return result;
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
  if (!m_Level)
  {
    itkExceptionMacro("Metric \"Impact\": Initialize() has not been called");
  }
  std::string & failure = m_Level->Failure();
  failure.clear();
  try
  {
    return this->EvaluateLevel(*m_Level, parameters, derivative);
  }
  catch (const ExceptionObject & error)
  {
    // What comes before is the name of the class, with its address.
    const std::string text = error.GetDescription();
    const auto        place = text.find("): ");
    failure = place == std::string::npos ? text : text.substr(place + 3);
    failure.erase(failure.find_last_not_of("\n") + 1);
    if (failure.find("Too many samples map outside") != std::string::npos)
    {
      failure +=
        ". Check the initial transform, the origins of the images and the masks; where the images once did "
        "overlap, choose a smaller MaximumStepLength. Where the fixed image shows much more than the moving one, "
        "give a fixed mask of what both show (-fMask), or a smaller RequiredRatioOfValidSamples (0.25 by "
        "default).";
    }
    throw;
  }
  catch (const std::exception & error)
  {
    failure = impact::messageOf(error);
    itkExceptionMacro("Metric \"Impact\": " << failure);
  }
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateLevel(impact::MetricLevel &  level,
                                                                   const ParametersType & parameters,
                                                                   DerivativeType * derivative) const -> MeasureType
{
  if (const std::optional<double> seconds = level.WaitForFeatures())
  {
    this->AfterFeaturesAside(*seconds);
  }
  this->BeforeThreadedGetValueAndDerivative(parameters);
  std::optional<impact::DerivativeView> view;
  if (derivative)
  {
    derivative->SetSize(this->GetNumberOfParameters());
    derivative->Fill(0.0);
    view = impact::DerivativeView{ derivative->data_block(), derivative->GetSize() };
  }
  ++level.GetTimes().evaluations;

  const impact::PythonGilRelease gilRelease;
  const double                   similarity = this->EvaluateSimilarity(level, parameters, view);
  return similarity + level.AddBendingEnergy(parameters.data_block(), view);
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateSimilarity(
  impact::MetricLevel &                         level,
  const ParametersType &                        parameters,
  const std::optional<impact::DerivativeView> & view) const -> MeasureType
{
  impact::StageTimer mapping(&level.GetTimes(), impact::Stage::Mapping);
  level.GetMapping().Update();
  if (level.GetEvaluatesOnDevice())
  {
    mapping.stop();
    const impact::DeviceResult result = level.EvaluateOnDevice(this->GetSamplePoints(), view);
    this->m_NumberOfPixelsCounted = static_cast<SizeValueType>(result.numberOfSamples);
    this->CheckNumberOfSamples();
    if (!level.GetComparesIntensities())
    {
      return result.value;
    }
    impact::StageTimer    again(&level.GetTimes(), impact::Stage::Mapping);
    const impact::Samples samples = this->MapSamples(level);
    again.stop();
    return result.value + level.AddMutualInformation(samples, view);
  }
  const impact::Samples samples = this->MapSamples(level);
  mapping.stop();
  this->m_NumberOfPixelsCounted = samples.size();
  this->CheckNumberOfSamples();
  if (samples.size() == 0)
  {
    return 0.0;
  }
  std::optional<impact::WarpedSamples> warped;
  if (level.GetWarpsMovingImage())
  {
    const std::vector<double> & ofWarp = level.UpdateMovingFeatures({ parameters.begin(), parameters.end() });
    warped = this->WarpSamples(level, samples, ofWarp, parameters);
  }
  return level.Evaluate(samples, warped ? &*warped : nullptr, view);
}


template <typename TFixedImage, typename TMovingImage>
std::vector<double>
ImpactImageToImageMetric<TFixedImage, TMovingImage>::GetSamplePoints() const
{
  const auto &        sampleContainer = *(this->GetImageSampler()->GetOutput());
  std::vector<double> points(3 * sampleContainer.size(), 0.0);
  for (std::size_t s = 0; s < sampleContainer.size(); ++s)
  {
    std::copy_n(sampleContainer[s].m_ImageCoordinates.Begin(), FixedImageDimension, points.begin() + 3 * s);
  }
  return points;
}


template <typename TFixedImage, typename TMovingImage>
impact::Samples
ImpactImageToImageMetric<TFixedImage, TMovingImage>::MapSamples(impact::MetricLevel & level) const
{
  impact::Samples all;
  all.fixedPoints = this->GetSamplePoints();
  all.movingPoints.assign(all.fixedPoints.size(), 0.0);
  const std::size_t count = all.size();
  std::vector<char> valid(count, 0);

  constexpr std::size_t        perChunk = 256;
  const impact::PointMapping & mapping = level.GetMapping();
  level.GetWorkers().run((count + perChunk - 1) / perChunk, [&](std::size_t chunk) {
    const std::size_t begin = chunk * perChunk;
    const std::size_t end = std::min(count, begin + perChunk);
    mapping.Map(all.fixedPoints.data() + 3 * begin, end - begin, all.movingPoints.data() + 3 * begin);
    for (std::size_t s = begin; s < end; ++s)
    {
      MovingPointType movingPoint;
      std::copy_n(all.movingPoints.begin() + 3 * s, MovingImageDimension, movingPoint.Begin());
      valid[s] = this->m_Interpolator->IsInsideBuffer(movingPoint) && this->IsInsideMovingMask(movingPoint);
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
impact::WarpedSamples
ImpactImageToImageMetric<TFixedImage, TMovingImage>::WarpSamples(impact::MetricLevel &       level,
                                                                 const impact::Samples &     samples,
                                                                 const std::vector<double> & parametersOfWarp,
                                                                 const ParametersType &      parameters) const
{
  impact::WarpedSamples warped{ samples.fixedPoints, std::vector<impact::Matrix>(samples.size()) };
  const auto &          transform = *(this->m_AdvancedTransform);

  // Transforms keep a pointer to what they are given: whatever happens, it is the caller's again at the end.
  struct Parameters
  {
    const Self *           metric;
    const ParametersType & after;
    ParametersType         during;

    ~Parameters() { metric->SetTransformParameters(after); }
  } parametersGuard{ this, parameters, ParametersType(parametersOfWarp.size()) };
  std::copy(parametersOfWarp.begin(), parametersOfWarp.end(), parametersGuard.during.begin());
  this->SetTransformParameters(parametersGuard.during);
  constexpr std::size_t perChunk = 256;
  level.GetWorkers().run((samples.size() + perChunk - 1) / perChunk, [&](std::size_t chunk) {
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
      double squares = 0.0;
      for (const impact::Vector & row : jacobian)
      {
        squares += row[0] * row[0] + row[1] * row[1] + row[2] * row[2];
      }
      const bool invertible = std::abs(impact::determinant(jacobian)) > 1e-3 * std::pow(squares / 3.0, 1.5);
      warped.toWarped[s] = invertible ? impact::inverse(jacobian) : impact::Matrix{};
      for (unsigned int i = 0; i < FixedImageDimension; ++i)
      {
        for (unsigned int j = 0; j < FixedImageDimension; ++j)
        {
          warped.points[3 * s + i] += warped.toWarped[s][i][j] * (samples.movingPoints[3 * s + j] - movingPoint[j]);
        }
      }
    }
  });
  return warped;
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Release()
{
  m_Level.reset();
  m_Models.reset();
  m_Workers.reset();
}

} // namespace itk

#endif
