#include "impactIntensityComparison.h"

#include <algorithm>

namespace impact
{

double
IntensityComparison::Evaluate(EvaluationContext & context, const Samples & samples, const bool withGradient)
{
  const StageTimer  timer(&context.times, Stage::MutualInformation);
  const std::size_t count = samples.size();
  m_Fixed.resize(count);
  m_Moving.resize(count);
  m_MovingGradients.resize(withGradient ? 3 * count : 0);
  m_OfIntensities.resize(withGradient ? count : 0);
  m_OfPoints.resize(m_MovingGradients.size());
  constexpr std::size_t perTask = 256;
  context.workers->run(static_cast<std::int64_t>((count + perTask - 1) / perTask), [&](const std::int64_t task) {
    const std::size_t begin = static_cast<std::size_t>(task) * perTask;
    const std::size_t size = std::min(perTask, count - begin);
    context.fixed->At(samples.fixedPoints.data() + 3 * begin, size, m_Fixed.data() + begin, nullptr);
    context.moving->At(samples.movingPoints.data() + 3 * begin,
                       size,
                       m_Moving.data() + begin,
                       withGradient ? m_MovingGradients.data() + 3 * begin : nullptr);
  });
  const double information = m_Information.evaluate(
    m_Fixed.data(), m_Moving.data(), count, withGradient ? m_OfIntensities.data() : nullptr, *context.workers);
  for (std::size_t s = 0; s < m_OfIntensities.size(); ++s)
  {
    double * const gradient = m_OfPoints.data() + 3 * s;
    for (std::size_t i = 0; i < 3; ++i)
    {
      gradient[i] = -m_Weight * m_OfIntensities[s] * static_cast<double>(m_MovingGradients[3 * s + i]);
    }
    context.ScaleGradient(gradient);
  }
  return -m_Weight * information;
}

} // namespace impact
