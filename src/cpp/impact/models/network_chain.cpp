#include "impact/models/network_chain.h"

#include "impact/models/layer_layout.h"
#include "impact/models/plain_graph.h"

#include <algorithm>

namespace impact
{
namespace
{

using Size = ConvolutionChain::Size;

/** The part of a graph that makes one of its values. */
std::shared_ptr<torch::jit::Graph>
partUpTo(const torch::jit::Graph & whole, const torch::jit::Value * value)
{
  auto                                                               part = std::make_shared<torch::jit::Graph>();
  std::unordered_map<const torch::jit::Value *, torch::jit::Value *> copies;
  for (const torch::jit::Value * const input : whole.inputs())
  {
    copies[input] = part->addInput()->copyMetadata(const_cast<torch::jit::Value *>(input));
  }
  for (const torch::jit::Node * const node : whole.nodes())
  {
    torch::jit::Node * const copy = part->insertNode(part->createClone(
      const_cast<torch::jit::Node *>(node), [&](torch::jit::Value * input) { return copies.at(input); }));
    for (std::size_t i = 0; i < node->outputs().size(); ++i)
    {
      copies[node->outputs()[i]] = copy->outputs()[i];
    }
  }
  part->registerOutput(part->insertNode(part->createTuple({ copies.at(value) }))->output());
  keepWhatIsNeeded(part);
  return part;
}

/** Where a voxel is in (z) x y x x. */
std::int64_t
indexOf(const Size & size, const Size & voxel)
{
  return (voxel[2] * size[1] + voxel[1]) * size[0] + voxel[0];
}

Size
voxelAt(const Size & size, std::int64_t index)
{
  return { index % size[0], index / size[0] % size[1], index / (size[0] * size[1]) };
}

} // namespace

std::shared_ptr<const NetworkChain>
NetworkChain::make(const torch::jit::Graph & plain, int dimension, int numberOfChannels)
{
  const auto found = findChain(plain);
  if (!found)
  {
    return nullptr;
  }
  const std::shared_ptr<NetworkChain> made(new NetworkChain);
  made->m_Dimension = dimension;
  made->m_NumberOfChannels = numberOfChannels;
  const bool isAll = found->begin == plain.inputs()[0] && !found->turns;
  made->m_Chain = ConvolutionChain::make(found->description,
                                         dimension,
                                         isAll ? numberOfChannels
                                               : static_cast<int>(found->description.units.front().weight.size(1)));
  if (!made->m_Chain)
  {
    return nullptr;
  }
  if (!isAll)
  {
    made->m_Before = std::make_shared<PlainNetwork>(partUpTo(plain, found->begin), false);
    try
    {
      if (!made->findTurn())
      {
        return nullptr;
      }
    }
    catch (const std::exception &)
    {
      return nullptr; // more of a network than a few voxels are enough for
    }
  }
  return made;
}

bool
NetworkChain::findTurn()
{
  Size size{ 5, 7, 6 };
  size[2] = m_Dimension == 2 ? 1 : size[2];
  const ImageContext context{ at::tensor({ -437.5F, 431.0F, 23.5F, 309.0F }), at::Tensor() };
  // Where intensities are clamped, those of some range tell.
  for (const double middle : { 0.5, -0.5, 50.0, -50.0, 500.0, 5000.0 })
  {
    const auto             shape = inputShape(1, m_NumberOfChannels, m_Dimension, size);
    const at::AutoGradMode gradientsOn(true);
    const at::Tensor       image = irregularImage(shape, 0.9 * middle, 1.1 * middle).requires_grad_(true);
    const at::Tensor       seen = m_Before->run(image, context)[0];
    const Size             seenSize = spatialSize(seen);
    if (seen.dim() != image.dim() || voxelsOf(seenSize) != voxelsOf(size) ||
        !at::equal(seen, seen.narrow(1, 0, 1).expand_as(seen)))
    {
      return false;
    }
    const at::Tensor gradient = torch::autograd::grad({ seen.flatten().narrow(0, 0, 1) },
                                                      { image },
                                                      {},
                                                      false,
                                                      false,
                                                      /*allow_unused=*/true)[0];
    const at::Tensor which =
      gradient.defined() ? gradient.abs().sum(1).flatten().nonzero() : at::empty({ 0, 1 }, at::kLong);
    if (which.size(0) > 1)
    {
      return false; // made from more than one voxel
    }
    if (which.size(0) == 1)
    {
      const Size first = voxelAt(size, which.item<std::int64_t>());
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const auto place = std::find(size.begin(), size.end(), seenSize[axis]);
        m_Axes[axis] = static_cast<std::size_t>(place - size.begin());
        m_Flipped[axis] = place != size.end() && *place > 1 && first[m_Axes[axis]] == *place - 1;
        if (place == size.end() || (!m_Flipped[axis] && first[m_Axes[axis]] != 0))
        {
          return false;
        }
      }
      return true;
    }
  }
  return false;
}

Size
NetworkChain::turned(const Size & ofImage) const
{
  return { ofImage[m_Axes[0]], ofImage[m_Axes[1]], ofImage[m_Axes[2]] };
}

Size
NetworkChain::turnedBack(const Size & ofChain) const
{
  Size ofImage{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    ofImage[m_Axes[axis]] = ofChain[axis];
  }
  return ofImage;
}

std::vector<Size>
NetworkChain::layerSizes(const Size & input) const
{
  std::vector<Size> sizes = m_Chain->layerSizes(turned(input));
  std::transform(sizes.begin(), sizes.end(), sizes.begin(), [this](const Size & size) { return turnedBack(size); });
  return sizes;
}

std::vector<NetworkChain::Layer>
NetworkChain::description(const Size & input) const
{
  const Size         size = turned(input);
  const auto         sizes = m_Chain->layerSizes(size);
  std::vector<Layer> layers = m_Chain->description();
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    const LayerLayout ofChain = layers[i].layout;
    LayerLayout &     layout = layers[i].layout;
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const std::size_t of = m_Axes[axis];
      layout.stride[of] = ofChain.stride[axis];
      layout.reach[of] = ofChain.reach[axis];
      const double last = ofChain.offset[axis] + ofChain.stride[axis] * static_cast<double>(sizes[i][axis] - 1);
      layout.offset[of] = m_Flipped[axis] ? static_cast<double>(size[axis] - 1) - last : ofChain.offset[axis];
    }
  }
  return layers;
}

at::Tensor
NetworkChain::prepared(const at::Tensor & images, const Size & size, const ImageContext & context) const
{
  const auto shape = inputShape(images.size(0), m_NumberOfChannels, m_Dimension, size);
  auto       grey = shape;
  grey[1] = 1;
  return m_Before->run(images.view(grey).expand(shape), context)[0].select(1, 0).flatten(1).contiguous();
}

std::vector<at::Tensor>
NetworkChain::layers(const at::Tensor & image, const ImageContext & context) const
{
  std::vector<Part> parts;
  for (const Size & size : layerSizes(spatialSize(image.unsqueeze(0).unsqueeze(0))))
  {
    parts.push_back({ {}, size });
  }
  return layers(image, parts, context);
}

std::vector<at::Tensor>
NetworkChain::layers(const at::Tensor & image, const std::vector<Part> & parts, const ImageContext & context) const
{
  if (!m_Before)
  {
    return m_Chain->layers(image, parts);
  }
  const Size                ofImage = spatialSize(image.unsqueeze(0).unsqueeze(0));
  const Size                size = turned(ofImage);
  const auto                shape = inputShape(1, 1, m_Dimension, size);
  const auto                sizes = m_Chain->layerSizes(size);
  std::vector<Part>         ofChain(parts.size());
  std::vector<std::int64_t> flips; // axes of a layer's tensor
  std::vector<std::int64_t> order{ 0, 1 };
  for (std::size_t i = 0; i < parts.size(); ++i)
  {
    ofChain[i].size = turned(parts[i].size);
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const std::int64_t begin = parts[i].begin[m_Axes[axis]];
      ofChain[i].begin[axis] = m_Flipped[axis] ? sizes[i][axis] - begin - ofChain[i].size[axis] : begin;
    }
  }
  const auto tensorAxis = [this](std::size_t axis) { return m_Dimension + 1 - static_cast<std::int64_t>(axis); };
  for (auto axis = static_cast<std::size_t>(m_Dimension); axis-- > 0;)
  {
    const auto place = std::find(m_Axes.begin(), m_Axes.end(), axis) - m_Axes.begin();
    order.push_back(tensorAxis(static_cast<std::size_t>(place)));
    if (m_Flipped[axis])
    {
      flips.push_back(tensorAxis(axis));
    }
  }
  const at::Tensor seen = prepared(image.reshape({ 1, -1 }), ofImage, context);
  auto result = m_Chain->layers(seen.view(std::vector<std::int64_t>(shape.begin() + 2, shape.end())), ofChain);
  for (at::Tensor & layer : result)
  {
    layer = (flips.empty() ? layer : layer.flip(flips)).permute(order);
  }
  return result;
}

std::vector<NetworkChain::Place>
NetworkChain::turned(const std::vector<Place> & places, const std::vector<Size> & layerSizes) const
{
  std::vector<Place> result = places;
  for (std::size_t i = 0; i < places.size(); ++i)
  {
    const Size size = turned(layerSizes[i]);
    for (auto & [index, weight] : result[i])
    {
      Size voxel = turned(voxelAt(layerSizes[i], index));
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        voxel[axis] = m_Flipped[axis] ? size[axis] - 1 - voxel[axis] : voxel[axis];
      }
      index = indexOf(size, voxel);
    }
  }
  return result;
}

std::vector<at::Tensor>
NetworkChain::patchFeatures(const at::Tensor &         patches,
                            const Size &               size,
                            const std::vector<Place> & places,
                            const ImageContext &       context,
                            Tape *                     tape) const
{
  if (!m_Before)
  {
    return m_Chain->patchFeatures(patches, size, places, tape ? &tape->ofChain : nullptr);
  }
  const at::AutoGradMode gradients(tape != nullptr);
  at::Tensor             input = patches.detach();
  input.set_requires_grad(tape != nullptr);
  const at::Tensor seen = prepared(input, size, context);
  if (tape)
  {
    tape->patches = input;
    tape->prepared = seen;
  }
  return m_Chain->patchFeatures(
    seen.detach(), turned(size), turned(places, layerSizes(size)), tape ? &tape->ofChain : nullptr);
}

at::Tensor
NetworkChain::pullBackToIntensities(const at::Tensor &              patches,
                                    const Size &                    size,
                                    const std::vector<Place> &      places,
                                    Tape &                          tape,
                                    const std::vector<at::Tensor> & featureGradients) const
{
  if (!m_Before)
  {
    return m_Chain->pullBackToIntensities(patches, size, places, tape.ofChain, featureGradients);
  }
  const at::Tensor ofSeen = m_Chain->pullBackToIntensities(
    tape.prepared.detach(), turned(size), turned(places, layerSizes(size)), tape.ofChain, featureGradients);
  return torch::autograd::grad({ tape.prepared }, { tape.patches }, { ofSeen }, /*retain_graph=*/true)[0];
}

} // namespace impact
