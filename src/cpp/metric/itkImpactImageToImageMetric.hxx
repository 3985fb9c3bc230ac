#ifndef itkImpactImageToImageMetric_hxx
#define itkImpactImageToImageMetric_hxx

#include "itkImpactImageToImageMetric.h"

#include "impact/api/messages.h"
#include "impact/base/python_gil.h"
#include "impactGridOf.h"

#include <algorithm>
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
ImpactImageToImageMetric<TFixedImage, TMovingImage>::~ImpactImageToImageMetric()
{
  this->DropFeatures();
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::DropFeatures()
{
  const impact::PythonGilRelease gilRelease;
  m_Making = {};
  m_StaticSimilarity.reset();
  m_PatchSimilarity.reset();
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

  this->DropFeatures(); // those of the last level, before those of this one are made

  impact::SimilarityInput input;
  input.fixed = ViewOf(*this->GetFixedImage(), m_FixedPixels);
  input.moving = ViewOf(*this->GetMovingImage(), m_MovingPixels);
  input.settings = m_LevelSettings;
  input.models = m_Models;
  input.seed = m_Seed;
  input.writer = m_MapWriter;
  m_HasSpoken = false;
  input.log = [this](const std::string & message) { this->Say(message); };
  // elastix's threader may make many more work units than there are threads to run them.
  const auto numberOfThreads =
    static_cast<int>(this->m_UseMultiThread ? std::min({ this->GetNumberOfWorkUnits(),
                                                         this->m_Threader->GetMaximumNumberOfThreads(),
                                                         MultiThreaderBase::GetGlobalMaximumNumberOfThreads() })
                                            : 1);
  if (!m_Workers || m_Workers->numberOfThreads() != numberOfThreads)
  {
    m_Workers = std::make_shared<impact::Workers>(numberOfThreads);
  }
  input.workers = m_Workers;
  m_Times = {};
  input.times = &m_Times;

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
  m_Mapper.Set(*(this->m_AdvancedTransform));
  m_WhyNotOnDevice = this->FindWhyNotOnDevice();
  m_PointsOnDevice.clear();
  if (this->GetEvaluatesOnDevice())
  {
    input.deviceGeometry = this->GetDeviceGeometry();
  }

  const impact::PythonGilRelease gilRelease;
  const impact::StageTimer       timer(&m_Times, impact::Stage::Features);
  if (m_LevelSettings.mode == impact::Mode::Static)
  {
    this->MakeFeatures(input);
  }
  else
  {
    m_PatchSimilarity = std::make_unique<impact::PatchSimilarity>(input);
    this->TryPatches();
  }
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Say(const std::string & message) const
{
  if (m_MessageWriter && !std::exchange(m_HasSpoken, true))
  {
    m_MessageWriter(message);
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
  m_Failure.clear();
  try
  {
    return this->EvaluateSamples(parameters, derivative);
  }
  catch (const ExceptionObject & error)
  {
    // What comes before is the name of the class, with its address.
    const std::string text = error.GetDescription();
    const auto        place = text.find("): ");
    m_Failure = place == std::string::npos ? text : text.substr(place + 3);
    m_Failure.erase(m_Failure.find_last_not_of("\n") + 1);
    if (m_Failure.find("Too many samples map outside") != std::string::npos)
    {
      m_Failure +=
        ". Check the initial transform, the origins of the images and the masks; where the images once did "
        "overlap, choose a smaller MaximumStepLength. Where the fixed image shows much more than the moving one, "
        "give a fixed mask of what both show (-fMask), or a smaller RequiredRatioOfValidSamples (0.25 by "
        "default).";
    }
    throw;
  }
  catch (const std::exception & error)
  {
    m_Failure = impact::messageOf(error);
    itkExceptionMacro("Metric \"Impact\": " << m_Failure);
  }
}


template <typename TFixedImage, typename TMovingImage>
auto
ImpactImageToImageMetric<TFixedImage, TMovingImage>::EvaluateSamples(const ParametersType & parameters,
                                                                     DerivativeType * derivative) const -> MeasureType
{
  this->WaitForFeatures();
  this->BeforeThreadedGetValueAndDerivative(parameters);
  ++m_Times.evaluations;

  const impact::PythonGilRelease gilRelease;
  impact::StageTimer             mapping(&m_Times, impact::Stage::Mapping);
  m_Mapper.Update();
  if (this->GetEvaluatesOnDevice())
  {
    mapping.stop();
    return this->EvaluateOnDevice(derivative);
  }
  const ValidSamples samples = this->MapSamples();
  mapping.stop();
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
  if (m_MovingFeaturesAreDue)
  {
    this->UpdateMovingFeatures(parameters);
  }
  return m_StaticSimilarity ? this->EvaluateStatic(samples, parameters, derivative)
                            : this->EvaluatePatches(samples, derivative);
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
  m_Workers->run((count + perChunk - 1) / perChunk, [&](std::size_t chunk) {
    const std::size_t begin = chunk * perChunk;
    const std::size_t end = std::min(count, begin + perChunk);
    for (std::size_t s = begin; s < end; ++s)
    {
      const FixedPointType & fixedPoint = sampleContainer[s].m_ImageCoordinates;
      std::copy_n(fixedPoint.Begin(), FixedImageDimension, all.fixedPoints.begin() + 3 * s);
    }
    m_Mapper.Map(all.fixedPoints.data() + 3 * begin, end - begin, all.movingPoints.data() + 3 * begin);
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
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::ChainRule(const PointGradients & points,
                                                               DerivativeType &       derivative) const
{
  const impact::StageTimer timer(&m_Times, impact::Stage::ChainRule);

  // Each chunk has sums of its own, added up in order: how many depends on the problem alone, never on the threads.
  // More sums than what is added to them would cost more than they save.
  const std::size_t     numberOfSums = std::max<std::size_t>(1, m_Mapper.NumberOfSums());
  const std::size_t     additions = points.numberOfBatches * points.perBatch * m_Mapper.SumsPerPoint();
  constexpr std::size_t mostSums = std::size_t{ 1 } << 25;
  const std::size_t     mostChunks = std::min<std::size_t>({ 16, points.numberOfBatches, mostSums / numberOfSums + 1 });
  const std::size_t     numberOfChunks = std::clamp<std::size_t>(additions / (16 * numberOfSums), 1, mostChunks);
  m_Sums.resize(numberOfChunks);
  m_Workers->run(numberOfChunks, [&](std::size_t chunk) {
    std::vector<double> & sums = m_Sums[chunk];
    sums.assign(numberOfSums, 0.0);
    std::vector<double> fixedPoints(3 * points.perBatch);
    std::vector<double> gradients(3 * points.perBatch);
    const std::size_t   end = points.numberOfBatches * (chunk + 1) / numberOfChunks;
    for (std::size_t batch = points.numberOfBatches * chunk / numberOfChunks; batch < end; ++batch)
    {
      const std::size_t count = points.fill(batch, fixedPoints.data(), gradients.data());
      m_Mapper.AddGradients(fixedPoints.data(), gradients.data(), count, sums.data());
    }
  });

  std::vector<double> & total = m_Sums.front();
  constexpr std::size_t perTask = 8192;
  m_Workers->run((numberOfSums + perTask - 1) / perTask, [&](std::size_t task) {
    const std::size_t end = std::min(numberOfSums, (task + 1) * perTask);
    for (std::size_t chunk = 1; chunk < numberOfChunks; ++chunk)
    {
      const std::vector<double> & sums = m_Sums[chunk];
      for (std::size_t i = task * perTask; i < end; ++i)
      {
        total[i] += sums[i];
      }
    }
  });
  m_Mapper.FromSums(total.data(), derivative.data_block(), derivative.GetSize());
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
ImpactImageToImageMetric<TFixedImage, TMovingImage>::Release()
{
  this->DropFeatures();
  m_Models.reset();
  m_Workers.reset();
  m_FixedPixels = {};
  m_MovingPixels = {};
  m_Sums = {};
  m_PointsOnDevice = {};
  m_FixedPatches = {};
  m_MovingPatches = {};
  m_MovingGradients = {};
}


template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::DescribeTimes() const
{
  return m_Times.describe();
}


template <typename TFixedImage, typename TMovingImage>
std::string
ImpactImageToImageMetric<TFixedImage, TMovingImage>::DescribeFeatures() const
{
  return m_StaticSimilarity  ? m_StaticSimilarity->describe()
         : m_PatchSimilarity ? m_PatchSimilarity->describe()
                             : std::string();
}

} // namespace itk

#endif
