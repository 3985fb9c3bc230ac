#include "impactChainRule.h"

#include <algorithm>

namespace impact
{

PointGradients
pointGradientsOf(const std::vector<double> & fixedPoints, const std::vector<double> & gradients)
{
  PointGradients    points;
  const std::size_t count = fixedPoints.size() / 3;
  points.perBatch = 64;
  points.numberOfBatches = (count + points.perBatch - 1) / points.perBatch;
  points.fill = [&fixedPoints, &gradients, count, perBatch = points.perBatch](
                  std::size_t batch, double * pointsOfBatch, double * gradientsOfBatch) {
    const std::size_t begin = batch * perBatch;
    const std::size_t size = std::min(perBatch, count - begin);
    std::copy_n(fixedPoints.data() + 3 * begin, 3 * size, pointsOfBatch);
    std::copy_n(gradients.data() + 3 * begin, 3 * size, gradientsOfBatch);
    return size;
  };
  return points;
}


void
ChainRule::Apply(const PointGradients & points,
                 const PointMapping &   mapping,
                 Workers &              workers,
                 const DerivativeView   derivative)
{
  // Each chunk has sums of its own, added up in order: how many depends on the problem alone, never on the threads.
  // More sums than what is added to them would cost more than they save.
  const std::size_t     numberOfSums = std::max<std::size_t>(1, mapping.NumberOfSums());
  const std::size_t     additions = points.numberOfBatches * points.perBatch * mapping.SumsPerPoint();
  constexpr std::size_t mostSums = std::size_t{ 1 } << 25;
  const std::size_t     mostChunks = std::min<std::size_t>({ 16, points.numberOfBatches, mostSums / numberOfSums + 1 });
  const std::size_t     numberOfChunks = std::clamp<std::size_t>(additions / (16 * numberOfSums), 1, mostChunks);
  m_Sums.resize(numberOfChunks);
  workers.run(static_cast<std::int64_t>(numberOfChunks), [&](std::size_t chunk) {
    std::vector<double> & sums = m_Sums[chunk];
    sums.assign(numberOfSums, 0.0);
    std::vector<double> fixedPoints(3 * points.perBatch);
    std::vector<double> gradients(3 * points.perBatch);
    const std::size_t   end = points.numberOfBatches * (chunk + 1) / numberOfChunks;
    for (std::size_t batch = points.numberOfBatches * chunk / numberOfChunks; batch < end; ++batch)
    {
      const std::size_t count = points.fill(batch, fixedPoints.data(), gradients.data());
      mapping.AddGradients(fixedPoints.data(), gradients.data(), count, sums.data());
    }
  });

  std::vector<double> & total = m_Sums.front();
  constexpr std::size_t perTask = 8192;
  workers.run(static_cast<std::int64_t>((numberOfSums + perTask - 1) / perTask), [&](std::size_t task) {
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
  mapping.FromSums(total.data(), derivative.values, derivative.size);
}

} // namespace impact
