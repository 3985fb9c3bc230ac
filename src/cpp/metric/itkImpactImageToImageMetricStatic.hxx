#ifndef itkImpactImageToImageMetricStatic_hxx
#define itkImpactImageToImageMetricStatic_hxx

// Static mode: features made once per level, or every few iterations from the warped moving image.

#include "itkImpactImageToImageMetric.h"

#include <algorithm>
#include <cmath>

namespace itk
{

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
        voxels[line * perSlice + x] = m_MovingIntensity.LinearlyAt(this->Map(point));
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
