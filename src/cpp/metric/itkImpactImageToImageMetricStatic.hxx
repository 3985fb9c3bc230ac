#ifndef itkImpactImageToImageMetricStatic_hxx
#define itkImpactImageToImageMetricStatic_hxx

// Static mode: features made once per level, or every few iterations from the warped moving image.

#include "itkImpactImageToImageMetric.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <system_error>
#include <thread>
#include <utility>

namespace itk
{

template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::MakeFeatures(const impact::SimilarityInput & input)
{
  const int numberOfThreads = m_Workers->numberOfThreads();
  if (!m_MakesFeaturesAside || numberOfThreads < 2 || input.writer || !impact::StaticSimilarity::runsOnWorkers(input))
  {
    m_StaticSimilarity = std::make_unique<impact::StaticSimilarity>(input);
    return;
  }
  const auto make = [input] {
    const impact::ThreadWithoutPython noPython;
    const auto                        begin = impact::StageTimer::Clock::now();
    const auto                        made = std::make_shared<BackgroundFeatures>();
    made->messages = std::make_shared<std::vector<std::string>>();
    impact::SimilarityInput own = input;
    own.log =
      [messages = made->messages, log = input.log, thread = std::this_thread::get_id()](const std::string & message) {
        std::this_thread::get_id() == thread ? messages->push_back(message) : log(message);
      };
    made->similarity = std::make_unique<impact::StaticSimilarity>(own);
    made->seconds = std::chrono::duration<double>(impact::StageTimer::Clock::now() - begin).count();
    return made;
  };
  m_Workers->limit(numberOfThreads - 1);
  try
  {
    m_Making = std::async(std::launch::async, make);
  }
  catch (const std::system_error &) // the machine gives no more threads
  {
    m_Workers->limit(numberOfThreads);
    m_StaticSimilarity = std::make_unique<impact::StaticSimilarity>(input);
  }
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::WaitForFeatures() const
{
  if (!this->GetFeaturesAreAside())
  {
    return;
  }
  {
    const impact::PythonGilRelease gilRelease;
    const impact::StageTimer       timer(&m_Times, impact::Stage::Features);
    m_Workers->limit(std::numeric_limits<int>::max());
    const std::shared_ptr<BackgroundFeatures> made = m_Making.get();
    m_StaticSimilarity = std::move(made->similarity);
    m_Times.secondsAside = made->seconds;
  }
  for (const std::string & message : *m_Making.get()->messages)
  {
    this->Say(message);
  }
  this->AfterFeaturesAside(m_Times.secondsAside);
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
    for (std::size_t s = 0; s < samples.size(); ++s)
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
    PointGradients points;
    points.perBatch = 64;
    points.numberOfBatches = (samples.size() + points.perBatch - 1) / points.perBatch;
    points.fill = [&](std::size_t batch, double * fixedPoints, double * gradients) {
      const std::size_t begin = batch * points.perBatch;
      const std::size_t count = std::min(points.perBatch, samples.size() - begin);
      std::copy_n(samples.fixedPoints.data() + 3 * begin, 3 * count, fixedPoints);
      std::copy_n(gradient.data() + 3 * begin, 3 * count, gradients);
      return count;
    };
    this->ChainRule(points, *derivative);
  }
  return value;
}


template <typename TFixedImage, typename TMovingImage>
void
ImpactImageToImageMetric<TFixedImage, TMovingImage>::UpdateMovingFeatures(const ParametersType & parameters) const
{
  const impact::StageTimer        timer(&m_Times, impact::Stage::Features);
  std::vector<std::vector<float>> warped;
  for (const impact::Grid & grid : m_StaticSimilarity->warpedGrids())
  {
    std::vector<float> voxels(static_cast<std::size_t>(grid.numberOfVoxels()));
    const auto         perLine = static_cast<std::size_t>(grid.size[0]);
    m_Workers->run(voxels.size() / perLine, [&](std::size_t line) {
      std::vector<double> points(3 * perLine);
      const auto          y = static_cast<std::int64_t>(line) % grid.size[1];
      const auto          z = static_cast<std::int64_t>(line) / grid.size[1];
      for (std::size_t x = 0; x < perLine; ++x)
      {
        const impact::Vector point =
          grid.pointAt({ static_cast<double>(x), static_cast<double>(y), static_cast<double>(z) });
        std::copy(point.begin(), point.end(), points.begin() + 3 * x);
      }
      m_Mapper.Map(points.data(), perLine, points.data());
      m_MovingIntensity.LinearlyAt(points.data(), perLine, voxels.data() + line * perLine);
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
  m_Workers->run((samples.size() + perChunk - 1) / perChunk, [&](std::size_t chunk) {
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

} // namespace itk

#endif
