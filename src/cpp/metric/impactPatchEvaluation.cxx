#include "impactPatchEvaluation.h"

#include <algorithm>
#include <utility>

namespace impact
{
namespace
{

/** The numbers of the samples, those near each other in a row: their patches then find in the cache what others have
 * read. */
std::vector<std::size_t>
orderOfPlace(const Samples & samples, int dimension)
{
  std::vector<std::pair<double, std::size_t>> keys(samples.size());
  for (std::size_t s = 0; s < samples.size(); ++s)
  {
    keys[s] = { samples.fixedPoints[3 * s + static_cast<std::size_t>(dimension) - 1], s };
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::size_t> order;
  order.reserve(keys.size());
  for (const auto & key : keys)
  {
    order.push_back(key.second);
  }
  return order;
}

/** Writes the places of a patch's voxels. \return where the next patch's go */
double *
writePatch(const double * centre, const std::vector<Vector> & offsets, double * points)
{
  for (const Vector & offset : offsets)
  {
    for (std::size_t i = 0; i < 3; ++i)
    {
      *points++ = centre[i] + offset[i];
    }
  }
  return points;
}

} // namespace

void
PatchEvaluation::TryPatches(const EvaluationContext & context)
{
  constexpr std::size_t    perAxis = 4;
  const auto               dimension = static_cast<std::size_t>(context.fixed->GetGrid().dimension);
  const std::size_t        count = dimension == 2 ? perAxis * perAxis : perAxis * perAxis * perAxis;
  PatchSimilarity::Patches fixed(m_Similarity->numberOfModels());
  PatchSimilarity::Patches moving(m_Similarity->numberOfModels());
  const auto               take = [&](const Intensity & image, const std::vector<Vector> & offsets, std::size_t n) {
    const Grid & grid = image.GetGrid();
    Vector       index{};
    for (std::size_t axis = 0, rest = n; axis < dimension; ++axis, rest /= perAxis)
    {
      index[axis] = (static_cast<double>(rest % perAxis) + 0.5) / perAxis * static_cast<double>(grid.size[axis] - 1);
    }
    std::vector<double> points(3 * offsets.size());
    writePatch(grid.pointAt(index).data(), offsets, points.data());
    std::vector<float> values(offsets.size());
    image.At(points.data(), offsets.size(), values.data(), nullptr);
    return values;
  };
  const PatchSimilarity::Placement placement = m_Similarity->draw(count);
  for (std::size_t m = 0; m < m_Similarity->numberOfModels(); ++m)
  {
    for (std::size_t n = 0; n < count; ++n)
    {
      const std::vector<float> ofFixed = take(*context.fixed, placement.fixed(m, n), n);
      const std::vector<float> ofMoving = take(*context.moving, placement.moving(m, n), n);
      fixed[m].insert(fixed[m].end(), ofFixed.begin(), ofFixed.end());
      moving[m].insert(moving[m].end(), ofMoving.begin(), ofMoving.end());
    }
  }
  m_Similarity->tryModels(fixed, moving);
}


double
PatchEvaluation::Evaluate(EvaluationContext &                   context,
                          const Samples &                       samples,
                          const std::optional<DerivativeView> & derivative)
{
  const std::size_t                numberOfSamples = samples.size();
  const std::size_t                numberOfModels = m_Similarity->numberOfModels();
  const PatchSimilarity::Placement placement = m_Similarity->draw(numberOfSamples);

  // Patches are in the order of their places.
  const std::vector<std::size_t> order = orderOfPlace(samples, context.fixed->GetGrid().dimension);
  const auto fixedOffsets = [&](std::size_t m, std::size_t p) -> const auto & { return placement.fixed(m, order[p]); };
  const auto movingOffsets = [&](std::size_t m, std::size_t p) -> const auto & {
    return placement.moving(m, order[p]);
  };
  const auto centre = [&](std::size_t p) { return samples.fixedPoints.data() + 3 * order[p]; };

  StageTimer timer(&context.times, Stage::Sampling);

  // For each model: intensities of the patches, and the moving image's gradient at each of their voxels.
  m_Fixed.resize(numberOfModels);
  m_Moving.resize(numberOfModels);
  m_MovingGradients.resize(numberOfModels);
  for (std::size_t m = 0; m < numberOfModels; ++m)
  {
    const std::size_t fixedVoxels = fixedOffsets(m, 0).size();
    const std::size_t movingVoxels = movingOffsets(m, 0).size();
    m_Fixed[m].resize(numberOfSamples * fixedVoxels);
    m_Moving[m].resize(numberOfSamples * movingVoxels);
    m_MovingGradients[m].resize(derivative ? 3 * numberOfSamples * movingVoxels : 0);
    // Some patches at a time: enough points for what is read to be on its way while others are worked on.
    constexpr std::size_t perTask = 16;
    constexpr std::size_t pointsAtOnce = 1024;
    const std::size_t atOnce = std::clamp<std::size_t>(pointsAtOnce / std::max(fixedVoxels, movingVoxels), 1, perTask);
    const std::size_t numberOfTasks = (numberOfSamples + perTask - 1) / perTask;
    context.workers->run(static_cast<std::int64_t>(numberOfTasks), [&, m](const std::int64_t task) {
      std::vector<double> points(3 * atOnce * std::max(fixedVoxels, movingVoxels));
      const std::size_t   end = std::min(numberOfSamples, (static_cast<std::size_t>(task) + 1) * perTask);
      for (std::size_t first = static_cast<std::size_t>(task) * perTask; first < end; first += atOnce)
      {
        const std::size_t last = std::min(end, first + atOnce);
        double *          next = points.data();
        for (std::size_t p = first; p < last; ++p)
        {
          next = writePatch(centre(p), fixedOffsets(m, p), next);
        }
        context.fixed->At(
          points.data(), (last - first) * fixedVoxels, m_Fixed[m].data() + first * fixedVoxels, nullptr);
        next = points.data();
        for (std::size_t p = first; p < last; ++p)
        {
          next = writePatch(centre(p), movingOffsets(m, p), next);
        }
        context.mapping->Map(points.data(), (last - first) * movingVoxels, points.data());
        context.moving->At(points.data(),
                           (last - first) * movingVoxels,
                           m_Moving[m].data() + first * movingVoxels,
                           derivative ? m_MovingGradients[m].data() + 3 * first * movingVoxels : nullptr);
      }
    });
  }

  timer.stop();

  PatchSimilarity::Patches intensityGradients;
  const double value = m_Similarity->evaluate(m_Fixed, m_Moving, derivative ? &intensityGradients : nullptr);

  if (derivative)
  {
    // The derivatives of all models add up.
    std::fill_n(derivative->values, derivative->size, 0.0);
    std::vector<double> ofModel(derivative->size);
    for (std::size_t m = 0; m < numberOfModels; ++m)
    {
      PointGradients points;
      points.numberOfBatches = numberOfSamples;
      points.perBatch = movingOffsets(m, 0).size();
      points.fill = [&, m](std::size_t p, double * fixedPoints, double * gradients) {
        writePatch(centre(p), movingOffsets(m, p), fixedPoints);
        for (std::size_t v = 0; v < points.perBatch; ++v, gradients += 3)
        {
          const std::size_t place = p * points.perBatch + v;
          for (std::size_t i = 0; i < 3; ++i)
          {
            gradients[i] = static_cast<double>(intensityGradients[m][place]) * m_MovingGradients[m][3 * place + i];
          }
          context.ScaleGradient(gradients);
        }
        return points.perBatch;
      };
      context.ApplyChainRule(points, { ofModel.data(), ofModel.size() });
      for (std::size_t i = 0; i < ofModel.size(); ++i)
      {
        derivative->values[i] += ofModel[i];
      }
    }
  }
  return value;
}

} // namespace impact
