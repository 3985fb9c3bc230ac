#include "impact/similarity/level_memory.h"

#include "impact/patches/patch_model.h"
#include "impact/runtime/device.h"

#include <algorithm>

namespace impact
{
namespace
{

/** Copies of an image on the way to a network: resampled along an axis and the next, and carried on beyond its edges.
 */
constexpr double copiesOfImage = 4.0;

/** What is taken for each byte of tensors: scratch space of operators, and what is free between tensors. In a run over
 * an image, and in runs over patches whose graphs are kept. Measured: tests/test_long_runs.py. */
constexpr double perByteOfTensors = 1.5;
constexpr double perByteOfGraphs = 1.25;

} // namespace

void
TriedModel::describeRuns(const FeatureExtractor & extractor, const ModelSettings & model, const Grid & grid)
{
  const auto padded = extractor.paddedSize();
  isTiled = extractor.isTiled();
  voxelsAtOnce = 1.0;
  padding = 1.0;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(model.dimension); ++axis)
  {
    const std::int64_t length = isTiled ? std::min(padded[axis], model.patchSize[axis]) : padded[axis];
    voxelsAtOnce *= static_cast<double>(length);
    padding *= static_cast<double>(padded[axis]) / static_cast<double>(grid.size[axis]);
  }
}

FeatureMapMemory::FeatureMapMemory(const LevelSettings & settings)
  : m_KeptPart(settings.mapsAreHalf() ? 0.5 : 1.0)
{}

void
FeatureMapMemory::add(const ModelSettings &             model,
                      const Grid &                      grid,
                      const TriedModel &                tried,
                      const std::vector<std::int64_t> & components)
{
  const double image = static_cast<double>(grid.numberOfVoxels()) * sizeof(float);
  double       all = 0.0;
  double       largest = 0.0;
  double       kept = 0.0;
  double       weights = 0.0; // of tiles
  for (std::size_t i = 0; i < tried.trial.layers.size(); ++i)
  {
    const TriedLayer & layer = tried.trial.layers[i];
    const double       perChannel = image * layer.voxels;
    const double       made = perChannel * static_cast<double>(layer.channels);
    const double ofLayer = m_KeptPart * (components[i] > 0 ? perChannel * static_cast<double>(components[i]) : made);
    all += made;
    largest = std::max(largest, made);
    kept += ofLayer;
    weights += perChannel;
  }
  const double input = model.numberOfChannels > 1 ? sizeof(float) * static_cast<double>(model.numberOfChannels) : 0.0;
  const double tensors = tried.voxelsAtOnce * (tried.trial.bytes + input);
  const auto   making = [&](double run) {
    if (model.dimension < grid.dimension)
    {
      return all + run; // slice by slice
    }
    return tried.isTiled
             ? std::max(tried.padding * (all + weights) + run, tried.padding * all + largest)
             : std::max(run, tried.padding * all + largest); // in the end each layer is put in another order
  };
  m_Peak = std::max(m_Peak, m_Kept + making(perByteOfTensors * tensors) + copiesOfImage * image);
  // Whatever the network does on the way, its layers, and while they are put in another order the largest one twice.
  m_Sure = std::max(m_Sure, m_Kept + making(0.0));
  m_Kept += kept;
}

std::optional<Problem>
FeatureMapMemory::tooMuch(at::Device device) const
{
  const double needed = std::max(m_Kept, m_Sure);
  const auto   available = availableMemory(device);
  return needed <= static_cast<double>(available)
           ? std::nullopt
           : std::optional(mapsDoNotFit(needed, available, device, m_KeptPart < 1.0));
}

double
patchBytes(const ModelSettings & model, const ModelTrial & trial, bool isFixed, std::int64_t samples)
{
  std::int64_t voxels = 1;
  for (const std::int64_t length : model.patchSize)
  {
    voxels *= length;
  }
  std::int64_t channels = 0;
  for (const TriedLayer & layer : trial.layers)
  {
    channels += layer.channels;
  }
  // Intensities; of moving patches also three components of the image's gradient, and the gradient of the value.
  const double perVoxel = static_cast<double>(sizeof(float)) * (isFixed ? 1.0 : 5.0);
  const double patches = static_cast<double>(samples) * static_cast<double>(voxels) * perVoxel;
  const auto   graphs = static_cast<double>(PatchModel::bytesOfGraphs(samples, voxels, channels));
  return patches + (isFixed ? 0.0 : perByteOfGraphs * graphs);
}

} // namespace impact
