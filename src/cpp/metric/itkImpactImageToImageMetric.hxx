#ifndef itkImpactImageToImageMetric_hxx
#define itkImpactImageToImageMetric_hxx

#include "itkImpactImageToImageMetric.h"

#include "impactGridOf.h"
#include "python_gil.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

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
  // ITK may make many more work units than there are threads to run them; torch takes every thread it is given.
  input.numberOfThreads =
    static_cast<int>(this->m_UseMultiThread ? std::min({ this->GetNumberOfWorkUnits(),
                                                         this->m_Threader->GetMaximumNumberOfThreads(),
                                                         MultiThreaderBase::GetGlobalMaximumNumberOfThreads() })
                                            : 1);

  m_FixedLinear = impact::LinearInterpolation(input.fixed);
  m_MovingLinear = impact::LinearInterpolation(input.moving);
  m_MovingGrid = input.moving.grid;
  m_MovingPhysicalToIndex = m_MovingGrid.physicalToIndex();

  // Both images are interpolated alike, or a perfect match would not be one.
  m_FixedBSpline = nullptr;
  m_MovingBSpline = dynamic_cast<const BSplineInterpolatorType *>(this->m_Interpolator.GetPointer());
  if (m_MovingBSpline && m_MovingBSpline->GetSplineOrder() < 2)
  {
    m_MovingBSpline = nullptr;
  }

  const impact::PythonGilRelease gilRelease;
  if (m_LevelSettings.mode == impact::Mode::Static)
  {
    m_StaticSimilarity = std::make_unique<impact::StaticSimilarity>(input);
  }
  else
  {
    if (m_MovingBSpline)
    {
      m_FixedBSpline = FixedBSplineInterpolatorType::New();
      m_FixedBSpline->SetSplineOrder(m_MovingBSpline->GetSplineOrder());
      m_FixedBSpline->SetInputImage(this->GetFixedImage());
    }
    m_PatchSimilarity = std::make_unique<impact::PatchSimilarity>(input);
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
    return m_StaticSimilarity ? this->EvaluateStatic(samples, derivative) : this->EvaluatePatches(samples, derivative);
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
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateStatic(const ValidSamples & samples,
                                                                    DerivativeType * derivative) const -> MeasureType
{
  std::vector<double> gradient;
  const double        value =
    m_StaticSimilarity->evaluate(samples.fixedPoints, samples.movingPoints, derivative ? &gradient : nullptr);
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
      this->ScaleGradient(gradient.data() + 3 * s);
    }
    this->ChainRule(points, *derivative);
  }
  return value;
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
        fixed[m][s * fixedVoxels + v] = this->FixedIntensity(patchPoint(s, fixedOffsets[v]));
      }
      const auto & movingOffsets = similarity.movingOffsets(m, s);
      for (std::size_t v = 0; v < movingVoxels; ++v)
      {
        const impact::Vector point = patchPoint(s, movingOffsets[v]);
        FixedPointType       fixedPoint;
        std::copy_n(point.begin(), FixedImageDimension, fixedPoint.Begin());
        const std::size_t place = s * movingVoxels + v;
        impact::Vector    gradient{};
        moving[m][place] = this->MovingIntensity(this->TransformPoint(fixedPoint), derivative ? &gradient : nullptr);
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
float
ImpactImageToImageMetric<TFixedImage, TMovingImage>::FixedIntensity(const impact::Vector & point) const
{
  if (!m_FixedBSpline)
  {
    return m_FixedLinear.evaluate(point, nullptr);
  }
  FixedPointType fixedPoint;
  std::copy_n(point.begin(), FixedImageDimension, fixedPoint.Begin());
  auto       index = this->GetFixedImage()->template TransformPhysicalPointToContinuousIndex<double>(fixedPoint);
  const auto region = this->GetFixedImage()->GetBufferedRegion();
  for (unsigned int i = 0; i < FixedImageDimension; ++i)
  {
    const auto first = static_cast<double>(region.GetIndex(i));
    index[i] = std::clamp(index[i], first, first + static_cast<double>(region.GetSize(i) - 1));
  }
  return static_cast<float>(m_FixedBSpline->EvaluateAtContinuousIndex(index));
}


template <typename TFixedImage, typename TMovingImage>
float
ImpactImageToImageMetric<TFixedImage, TMovingImage>::MovingIntensity(const MovingPointType & point,
                                                                     impact::Vector *        gradient) const
{
  impact::Vector physical{};
  std::copy_n(point.Begin(), MovingImageDimension, physical.begin());
  if (!m_MovingBSpline)
  {
    return m_MovingLinear.evaluate(physical, gradient);
  }

  auto           index = this->GetMovingImage()->template TransformPhysicalPointToContinuousIndex<double>(point);
  const auto     region = this->GetMovingImage()->GetBufferedRegion();
  impact::Vector inside{};
  for (unsigned int i = 0; i < MovingImageDimension; ++i)
  {
    const auto   first = static_cast<double>(region.GetIndex(i));
    const double clamped = std::clamp(index[i], first, first + static_cast<double>(region.GetSize(i) - 1));
    inside[i] = clamped == index[i] ? 1.0 : 0.0;
    index[i] = clamped;
  }
  if (!gradient)
  {
    return static_cast<float>(m_MovingBSpline->EvaluateAtContinuousIndex(index));
  }
  double                                                value = 0.0;
  typename BSplineInterpolatorType::CovariantVectorType derivative;
  m_MovingBSpline->EvaluateValueAndDerivativeAtContinuousIndex(index, value, derivative);

  // Across an edge the image goes on unchanged: along that axis of the image the derivative is zero.
  const impact::Matrix toPhysical = m_MovingGrid.indexToPhysical();
  gradient->fill(0.0);
  for (unsigned int axis = 0; axis < MovingImageDimension; ++axis)
  {
    double perIndex = 0.0;
    for (unsigned int i = 0; i < MovingImageDimension; ++i)
    {
      perIndex += toPhysical[i][axis] * derivative[i];
    }
    for (unsigned int i = 0; i < MovingImageDimension; ++i)
    {
      (*gradient)[i] += m_MovingPhysicalToIndex[axis][i] * inside[axis] * perIndex;
    }
  }
  return static_cast<float>(value);
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
  const impact::Matrix & direction = m_MovingGrid.direction;
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
  struct Work
  {
    std::size_t                              count;
    const std::function<void(std::size_t)> & function;
    std::atomic<std::size_t>                 next{ 0 };
    std::exception_ptr                       exception{};
    std::mutex                               mutex{};
  };
  Work work{ count, function };

  const ThreadFunctionType run = [](void * argument) -> ITK_THREAD_RETURN_TYPE {
    auto & shared = *static_cast<Work *>(static_cast<MultiThreaderBase::WorkUnitInfo *>(argument)->UserData);
    try
    {
      for (std::size_t i = shared.next++; i < shared.count; i = shared.next++)
      {
        shared.function(i);
      }
    }
    catch (...)
    {
      const std::lock_guard<std::mutex> lock(shared.mutex);
      shared.exception = std::current_exception();
      shared.next = shared.count;
    }
    return ITK_THREAD_RETURN_DEFAULT_VALUE;
  };

  if (!this->m_UseMultiThread || count < 2)
  {
    for (std::size_t i = 0; i < count; ++i)
    {
      function(i);
    }
    return;
  }
  this->m_Threader->SetSingleMethodAndExecute(run, &work);
  if (work.exception)
  {
    std::rethrow_exception(work.exception);
  }
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
