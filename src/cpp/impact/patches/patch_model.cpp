#include "impact/patches/patch_model.h"

#include "impact/patches/patch_field.h"
#include "impact/runtime/torch_messages.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>

namespace impact
{
namespace
{

// Voxels that go through a network at once, on each thread: the same for every number of threads, so that results are
// too; few enough for many threads, and for what passes between a network's layers to stay in their caches.
constexpr std::int64_t voxelsPerBatch = std::int64_t{ 1 } << 14;

// On a device, whatever its memory: the indices of some libraries have 31 bits.
constexpr std::int64_t mostVoxelsPerBatch = std::int64_t{ 1 } << 24;

// Above this many bytes (estimated), the graphs of all batches are not kept for the way back but made anew.
constexpr std::int64_t bytesOfKeptGraphs = std::int64_t{ 1 } << 30;

/** Bytes of the graph of so many voxels: a guess at what a network keeps beside its output. */
std::int64_t
graphBytes(std::int64_t voxels, std::int64_t channels)
{
  constexpr std::int64_t tensorsPerLayer = 8;
  return voxels * channels * tensorsPerLayer * static_cast<std::int64_t>(sizeof(float));
}

/** Parts in the order of their numbers, in one. */
at::Tensor
inOrder(const std::map<std::int64_t, at::Tensor> & parts)
{
  std::vector<at::Tensor> ordered;
  std::transform(
    parts.begin(), parts.end(), std::back_inserter(ordered), [](const auto & part) { return part.second; });
  return at::cat(ordered);
}

/** The voxels of a layer around a place between them, and what each counts. */
NetworkChain::Place
cornersAt(const std::array<std::int64_t, 3> & size, const Vector & place)
{
  NetworkChain::Place corners{ { 0, 1.0F } };
  for (std::size_t axis = 3; axis-- > 0;)
  {
    const auto          last = static_cast<double>(size[axis] - 1);
    const double        index = std::min(std::max(place[axis], 0.0), last);
    const double        lower = std::min(std::floor(index), std::max(last - 1.0, 0.0));
    const auto          fraction = static_cast<float>(index - lower);
    const auto          first = static_cast<std::int64_t>(lower);
    NetworkChain::Place next;
    for (const auto & [voxel, weight] : corners)
    {
      next.emplace_back(voxel * size[axis] + first, weight * (1.0F - fraction));
      if (fraction > 0.0F)
      {
        next.emplace_back(voxel * size[axis] + first + 1, weight * fraction);
      }
    }
    corners = std::move(next);
  }
  return corners;
}

} // namespace

PatchModel::PatchModel(ModelPointer                             model,
                       const ModelSettings &                    settings,
                       const ImageView &                        image,
                       const Matrix &                           axes,
                       at::Device                               device,
                       std::function<void(const std::string &)> log)
  : m_Model(std::move(model))
  , m_Settings(settings)
  , m_Context(ImageContext::of(image, axes, device))
  , m_Device(device)
  , m_Log(std::move(log))
{
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  std::copy(settings.patchSize.begin(), settings.patchSize.end(), size.begin());
  arrange(size);
  shrink();
  m_Chain =
    device.is_cpu()
      ? m_Model->chain(
          settings.layersMask, settings.dimension, settings.numberOfChannels, m_Context.direction, ChainUse::Patches)
      : nullptr;
  if (m_Chain && !m_Chain->acceptsPatches(m_Size))
  {
    m_Chain = nullptr;
  }
}

void
PatchModel::arrange(const std::array<std::int64_t, 3> & size)
{
  m_Size = size;
  m_NumbersOfChannels.clear();
  m_NumbersOfVoxels.clear();
  m_Places.clear();
  const at::Device device = m_Context.statistics.device();
  const auto       layers = run(at::zeros({ 1, voxelsPerPatch() }, at::dtype(at::kFloat).device(device)));
  std::vector<std::array<std::int64_t, 3>> sizes;
  for (const at::Tensor & layer : layers)
  {
    sizes.push_back(spatialSize(layer));
  }
  m_Layouts = layoutsOf(*m_Model,
                        sizes,
                        m_Size,
                        m_Settings.dimension,
                        m_Settings.numberOfChannels,
                        m_Settings.layersMask,
                        m_Context,
                        device);
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    m_NumbersOfChannels.push_back(layers[i].size(1));
    m_NumbersOfVoxels.push_back(layers[i].numel() / layers[i].size(1));
    Vector place{};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const double centre = 0.5 * static_cast<double>(m_Size[axis] - 1);
      place[axis] = (centre - m_Layouts[i].layout.offset[axis]) / m_Layouts[i].layout.stride[axis];
    }
    m_Places.push_back(cornersAt(spatialSize(layers[i]), place));
  }
}

void
PatchModel::shrink()
{
  const auto                           whole = m_Size;
  const std::vector<at::Tensor>        probes = probingPatches(whole, m_Context);
  std::vector<std::vector<at::Tensor>> expected;
  // Whether all probes, changed in some way, have the features that they had.
  const auto same = [&](const auto & changed) {
    for (std::size_t i = 0; i < probes.size(); ++i)
    {
      if (!alike(forward(changed(probes[i]).flatten(1), false).features, expected[i]))
      {
        return false;
      }
    }
    return true;
  };
  try
  {
    std::array<std::int64_t, 3> needed{ 1, 1, 1 };
    for (const at::Tensor & probe : probes)
    {
      const auto batch = forward(probe.flatten(1), true);
      const auto seen = sizeSeen(batch.input, batch.features, whole);
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        // Cut off alike on both sides, the centre stays where it is: a size of one and the patch's own differ evenly.
        needed[axis] = std::max({ needed[axis], seen[axis], 2 - whole[axis] % 2 });
      }
      expected.emplace_back();
      for (const at::Tensor & layer : batch.features)
      {
        expected.back().push_back(layer.detach());
      }
    }
    for (std::int64_t more = 0;; more += 2)
    {
      std::array<std::int64_t, 3> size{};
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        size[axis] = std::min(whole[axis], needed[axis] + more);
      }
      if (size == whole)
      {
        break;
      }
      if (!same([&size](const at::Tensor & probe) { return withOtherEdges(probe, size); }))
      {
        continue;
      }
      arrange(size);
      if (same([&size](const at::Tensor & probe) { return middleOf(probe, size); }))
      {
        return;
      }
      arrange(whole);
    }
  }
  catch (const std::exception & error)
  {
    if (isDeviceFailure(error))
    {
      throw;
    }
    // Models that cannot be differentiated, or refuse small patches.
  }
  arrange(whole);
}

std::string
PatchModel::describe() const
{
  std::array<std::int64_t, 3> whole{ 1, 1, 1 };
  std::copy(m_Settings.patchSize.begin(), m_Settings.patchSize.end(), whole.begin());
  const auto inWords = [this](const std::array<std::int64_t, 3> & size) {
    std::string text;
    for (int axis = 0; axis < m_Settings.dimension; ++axis)
    {
      text += (axis > 0 ? " x " : "") + std::to_string(size[static_cast<std::size_t>(axis)]);
    }
    return text;
  };
  return m_Size == whole ? std::string()
                         : "  \"" + path() + "\": patches of " + inWords(m_Size) + " voxels give what those of " +
                             inWords(whole) + " would.\n";
}

std::vector<at::Tensor>
PatchModel::run(const at::Tensor & patches) const
{
  const auto shape = inputShape(patches.size(0), m_Settings.numberOfChannels, m_Settings.dimension, m_Size);
  auto       grey = shape;
  grey[1] = 1;
  return m_Model->selected(patches.view(grey).expand(shape).contiguous(), m_Settings.layersMask, m_Context);
}

std::int64_t
PatchModel::batchSize() const
{
  if (m_Device.is_cpu())
  {
    return std::max<std::int64_t>(1, voxelsPerBatch / voxelsPerPatch());
  }
  const double bytes = bytesPerPatch();
  return numberThatFits(
    availableMemory(m_Device), bytes, std::max<std::int64_t>(1, mostVoxelsPerBatch / voxelsPerPatch()));
}

double
PatchModel::bytesPerPatch() const
{
  constexpr std::int64_t few = 8;
  const auto             before = static_cast<double>(allocatedMemory(m_Device));
  const at::Tensor       patches = at::zeros({ few, voxelsPerPatch() }, at::dtype(at::kFloat).device(m_Device));
  const Tape::Batch      batch = forward(patches, true);
  // What stays for the way back; gradients on that way, and what goes again on the way there, take about as much.
  return 2.0 * (static_cast<double>(allocatedMemory(m_Device)) - before) / static_cast<double>(few);
}

bool
PatchModel::graphsFit(std::int64_t numberOfPatches) const
{
  if (!m_Device.is_cpu())
  {
    return numberOfPatches <= m_Batches->size(); // one batch, of measured size
  }
  std::int64_t channels = 0;
  for (const std::int64_t count : m_NumbersOfChannels)
  {
    channels += count;
  }
  return graphBytes(numberOfPatches * voxelsPerPatch(), channels) <= bytesOfKeptGraphs;
}

std::int64_t
PatchModel::bytesOfGraphs(std::int64_t patches, std::int64_t voxels, std::int64_t channels)
{
  const std::int64_t all = graphBytes(patches * voxels, channels);
  return all <= bytesOfKeptGraphs ? all
                                  : graphBytes(std::min(patches * voxels, std::max(voxels, voxelsPerBatch)), channels);
}

PatchModel::Tape::Batch
PatchModel::forward(const at::Tensor & patches, bool withGradient) const
{
  at::AutoGradMode gradients(withGradient);
  Tape::Batch      batch;
  batch.input = patches.detach();
  batch.input.set_requires_grad(withGradient);
  batch.features = run(batch.input);
  for (std::size_t i = 0; i < batch.features.size(); ++i)
  {
    const at::Tensor layer = batch.features[i].flatten(2);
    if (layer.size(1) != m_NumbersOfChannels[i] || layer.size(2) != m_NumbersOfVoxels[i])
    {
      throw ModelError(path(),
                       " gives a layer of shape " + shapeOf(batch.features[i]) + ", and gave one of " +
                         std::to_string(m_NumbersOfChannels[i]) + " channels and " +
                         std::to_string(m_NumbersOfVoxels[i]) + " voxels before, for a patch of the same size.",
                       "Use a model that does not change with each call.");
    }
    at::Tensor atCentre;
    for (const auto & [voxel, weight] : m_Places[i])
    {
      const at::Tensor part = weight == 1.0F ? layer.select(2, voxel) : layer.select(2, voxel) * weight;
      atCentre = atCentre.defined() ? atCentre + part : part;
    }
    batch.features[i] = atCentre;
  }
  return batch;
}

std::vector<at::Tensor>
PatchModel::features(const at::Tensor & patches, Tape * tape) const
{
  if (m_Chain)
  {
    return m_Chain->patchFeatures(patches, m_Size, m_Places, m_Context, tape ? &tape->ofChain : nullptr);
  }
  if (tape)
  {
    tape->batches.clear();
  }
  if (!m_Batches)
  {
    m_Batches.emplace(batchSize(), m_Device, "patch", m_Log);
  }
  bool       keep = tape && graphsFit(patches.size(0));
  const auto forget = [&] {
    const bool had = tape && !tape->batches.empty();
    keep = false;
    if (had)
    {
      tape->batches.clear();
    }
    return had;
  };
  std::mutex                                      mutex;
  std::vector<std::map<std::int64_t, at::Tensor>> parts(m_NumbersOfChannels.size()); // by their first patch
  m_Batches->runInParallel(
    patches.size(0),
    [&](std::int64_t first, std::int64_t number) {
      Tape::Batch             batch = forward(patches.narrow(0, first, number), keep);
      std::vector<at::Tensor> features;
      for (const at::Tensor & layer : batch.features)
      {
        // Of a layer whose graph is not kept, its other voxels go.
        features.push_back(keep ? layer.detach() : layer.detach().clone());
      }
      const std::lock_guard<std::mutex> lock(mutex);
      for (std::size_t i = 0; i < parts.size(); ++i)
      {
        parts[i][first] = features[i];
      }
      if (keep)
      {
        tape->batches.emplace(first, std::move(batch));
      }
    },
    forget);
  std::vector<at::Tensor> result;
  for (const auto & part : parts)
  {
    result.push_back(inOrder(part));
  }
  return result;
}

at::Tensor
PatchModel::derivative(const Tape::Batch & batch, const std::vector<at::Tensor> & featureGradients) const
{
  try
  {
    return torch::autograd::grad(batch.features, { batch.input }, featureGradients)[0];
  }
  catch (const std::exception & error)
  {
    if (isOutOfMemory(error) || isDeviceFailure(error))
    {
      throw;
    }
    throw ModelError(path(),
                     " cannot be differentiated: " + firstLine(error),
                     "Use Mode \"Static\", which needs no derivative of it.");
  }
}

at::Tensor
PatchModel::pullBackToIntensities(const at::Tensor &              patches,
                                  Tape &                          tape,
                                  const std::vector<at::Tensor> & featureGradients) const
{
  if (m_Chain)
  {
    return m_Chain->pullBackToIntensities(patches, m_Size, m_Places, tape.ofChain, featureGradients);
  }
  std::map<std::int64_t, Tape::Batch> kept = std::move(tape.batches);
  tape.batches.clear();
  const auto forget = [&] {
    const bool had = !kept.empty();
    kept.clear();
    return had;
  };
  std::mutex                         mutex;
  std::map<std::int64_t, at::Tensor> results; // by their first patch
  m_Batches->runInParallel(
    patches.size(0),
    [&](std::int64_t first, std::int64_t number) {
      const auto node = [&] {
        const std::lock_guard<std::mutex> lock(mutex);
        return kept.extract(first); // its graph goes with it
      }();
      const bool              isKept = node && node.mapped().input.size(0) == number;
      const Tape::Batch       batch = isKept ? node.mapped() : forward(patches.narrow(0, first, number), true);
      std::vector<at::Tensor> wanted;
      for (const at::Tensor & featureGradient : featureGradients)
      {
        wanted.push_back(featureGradient.narrow(0, first, number));
      }
      const at::Tensor                  result = derivative(batch, wanted);
      const std::lock_guard<std::mutex> lock(mutex);
      results[first] = result;
    },
    forget);
  return inOrder(results);
}

double
PatchModel::voxelSizeAlong(int imageAxis, std::size_t patchAxis) const
{
  // A 2D model on 3D images may be given the voxel size of all three axes, or of its own two.
  const bool ofImage =
    std::all_of(m_Settings.voxelSize.begin(), m_Settings.voxelSize.end(), [](double size) { return size > 0.0; });
  return m_Settings.voxelSize[ofImage ? static_cast<std::size_t>(imageAxis) : patchAxis];
}

std::vector<Vector>
PatchModel::offsets(const Matrix & direction, const std::vector<int> & axes) const
{
  std::vector<Vector> result;
  result.reserve(static_cast<std::size_t>(voxelsPerPatch()));
  for (std::int64_t z = 0; z < m_Size[2]; ++z)
  {
    for (std::int64_t y = 0; y < m_Size[1]; ++y)
    {
      for (std::int64_t x = 0; x < m_Size[0]; ++x)
      {
        const std::array<std::int64_t, 3> voxel{ x, y, z };
        Vector                            along{};
        for (std::size_t i = 0; i < axes.size(); ++i)
        {
          const double fromCentre = static_cast<double>(voxel[i]) - 0.5 * static_cast<double>(m_Size[i] - 1);
          along[static_cast<std::size_t>(axes[i])] = fromCentre * voxelSizeAlong(axes[i], i);
        }
        result.push_back(multiply(direction, along));
      }
    }
  }
  return result;
}

} // namespace impact
