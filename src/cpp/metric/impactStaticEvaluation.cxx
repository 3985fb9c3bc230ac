#include "impactStaticEvaluation.h"

#include <algorithm>
#include <utility>

namespace impact
{

const std::vector<double> &
StaticEvaluation::WarpWhereDue(EvaluationContext & context, const std::vector<double> & parameters)
{
  if (!m_IsWarpDue)
  {
    return m_ParametersOfWarp;
  }
  const StageTimer                timer(&context.times, Stage::Features);
  std::vector<std::vector<float>> warped;
  for (const Grid & grid : m_Similarity->warpedGrids())
  {
    std::vector<float> voxels(static_cast<std::size_t>(grid.numberOfVoxels()));
    const auto         perLine = static_cast<std::size_t>(grid.size[0]);
    context.workers->run(static_cast<std::int64_t>(voxels.size() / perLine), [&](const std::int64_t line) {
      std::vector<double> points(3 * perLine);
      const auto          y = line % grid.size[1];
      const auto          z = line / grid.size[1];
      for (std::size_t x = 0; x < perLine; ++x)
      {
        const Vector point = grid.pointAt({ static_cast<double>(x), static_cast<double>(y), static_cast<double>(z) });
        std::copy(point.begin(), point.end(), points.begin() + 3 * x);
      }
      context.mapping->Map(points.data(), perLine, points.data());
      context.moving->LinearlyAt(points.data(), perLine, voxels.data() + static_cast<std::size_t>(line) * perLine);
    });
    warped.push_back(std::move(voxels));
  }
  m_Similarity->updateMovingFeatures(warped);
  m_ParametersOfWarp = parameters;
  m_IsWarpDue = false;
  return m_ParametersOfWarp;
}


double
StaticEvaluation::Evaluate(EvaluationContext &                   context,
                           const Samples &                       samples,
                           const std::vector<double> * const     ofPoints,
                           const WarpedSamples * const           warped,
                           const std::optional<DerivativeView> & derivative)
{
  std::vector<double> gradient;
  const double        value = m_Similarity->evaluate(
    samples.fixedPoints, warped ? warped->points : samples.movingPoints, derivative ? &gradient : nullptr);
  if (!derivative)
  {
    return value;
  }
  for (std::size_t s = 0; s < samples.size(); ++s)
  {
    double * const g = gradient.data() + 3 * s;
    if (warped)
    {
      const Matrix & m = warped->toWarped[s];
      const Vector   ofPoint{ g[0], g[1], g[2] };
      for (std::size_t i = 0; i < 3; ++i)
      {
        g[i] = m[0][i] * ofPoint[0] + m[1][i] * ofPoint[1] + m[2][i] * ofPoint[2];
      }
    }
    context.ScaleGradient(g);
    for (std::size_t i = 0; ofPoints && i < 3; ++i)
    {
      g[i] += (*ofPoints)[3 * s + i];
    }
  }
  context.ApplyChainRule(pointGradientsOf(samples.fixedPoints, gradient), *derivative);
  return value;
}

} // namespace impact
