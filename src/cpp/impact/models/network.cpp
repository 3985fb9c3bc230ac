#include "impact/api/network.h"

#include "impact/models/layer_layout.h"
#include "impact/models/model.h"
#include "impact/runtime/allocation_peak.h"
#include "impact/runtime/torch_scope.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

/** What a model is told of an image with intensities in this range, evenly spread. */
ImageContext
contextOf(std::pair<double, double> range, int dimension)
{
  const auto [low, high] = range;
  return { at::tensor({ low, high, (low + high) / 2, (high - low) / std::sqrt(12.0) }, at::kFloat),
           at::eye(dimension, at::kFloat) };
}

int
dimensionOf(const TrialInput & input)
{
  return static_cast<int>(input.size.size());
}

at::Tensor
imageOf(const TrialInput & input)
{
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  std::copy(input.size.begin(), input.size.end(), size.begin());
  return irregularImage(inputShape(input.batch, input.channels, dimensionOf(input), size),
                        input.intensities.first,
                        input.intensities.second);
}

} // namespace


class Network::Implementation
{
public:
  explicit Implementation(const std::string & path)
    : m_Model([&path] {
      const TorchScope scope(nullptr);
      return loadTorchScript(path, at::kCPU);
    }())
  {}

  std::vector<at::Tensor>
  layers(const at::Tensor & image, const TrialInput & input, std::size_t numberOfLayers) const
  {
    return m_Model->layers(image, numberOfLayers, contextOf(input.intensities, dimensionOf(input)));
  }

  const Model &
  model() const
  {
    return *m_Model;
  }

private:
  ModelPointer m_Model;
};


Network::Network(const std::string & path)
  : m_Implementation(std::make_unique<Implementation>(path))
{}


Network::~Network() = default;


std::vector<std::string>
Network::arguments() const
{
  return m_Implementation->model().arguments();
}


std::vector<std::vector<std::int64_t>>
Network::layerShapes(const TrialInput & input, std::size_t numberOfLayers) const
{
  const TorchScope                       scope(nullptr);
  std::vector<std::vector<std::int64_t>> shapes;
  for (const at::Tensor & layer : m_Implementation->layers(imageOf(input), input, numberOfLayers))
  {
    shapes.push_back(layer.sizes().vec());
  }
  return shapes;
}


std::vector<MeasuredLayer>
Network::measure(std::int64_t              size,
                 int                       dimension,
                 int                       channels,
                 std::size_t               numberOfLayers,
                 std::pair<double, double> intensities,
                 int                       numberOfInputs) const
{
  const TorchScope            scope(nullptr);
  std::array<std::int64_t, 3> inputSize{ 1, 1, 1 };
  std::fill_n(inputSize.begin(), dimension, size);
  return measureLayers(m_Implementation->model(),
                       dimension,
                       channels,
                       std::vector<bool>(numberOfLayers, true),
                       contextOf(intensities, dimension),
                       at::kCPU,
                       inputSize,
                       numberOfInputs);
}


std::int64_t
Network::peakMemory(const TrialInput & input, std::size_t numberOfLayers, bool gradient) const
{
  const TorchScope scope(nullptr);
  at::Tensor       image = imageOf(input);
  image.set_requires_grad(gradient);
  return allocationPeak(at::kCPU, [&] {
    at::AutoGradMode        gradientsOn(gradient);
    std::vector<at::Tensor> sums;
    for (const at::Tensor & layer : m_Implementation->layers(image, input, numberOfLayers))
    {
      if (layer.requires_grad())
      {
        sums.push_back(layer.sum());
      }
    }
    if (!sums.empty())
    {
      torch::autograd::grad(sums, { image }, {}, false, false, /*allow_unused=*/true);
    }
  });
}


bool
Network::runsAsChain(const std::vector<bool> & layersMask, int dimension, int numberOfChannels) const
{
  const TorchScope scope(nullptr);
  return m_Implementation->model().chain(
           layersMask, dimension, numberOfChannels, at::eye(dimension, at::kFloat), ChainUse::Patches) != nullptr;
}

std::size_t
Network::chainsWithin(const std::vector<bool> & layersMask, int dimension, int numberOfChannels) const
{
  const TorchScope scope(nullptr);
  return m_Implementation->model().chainsWithin(
    layersMask, dimension, numberOfChannels, at::eye(dimension, at::kFloat));
}

} // namespace impact
