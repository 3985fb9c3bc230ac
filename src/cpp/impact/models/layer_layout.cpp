#include "impact/models/layer_layout.h"

#include "impact/models/network_chain.h"
#include "impact/models/time_limit.h"
#include "impact/runtime/device.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace impact
{
namespace
{

/** The input region that one voxel of a layer depends on: its first and last voxel along each axis. */
struct FieldOfView
{
  Vector first{};
  Vector last{};

  double
  centre(std::size_t axis) const
  {
    return 0.5 * (first[axis] + last[axis]);
  }
};

/** How much each input voxel changes a voxel of a layer; undefined where it cannot be told. */
at::Tensor
sensitivityOf(const at::Tensor & layer, const at::Tensor & input, const std::array<std::int64_t, 3> & voxel)
{
  at::Tensor chosen = layer.select(0, 0);
  for (int axis = static_cast<int>(layer.dim()) - 3; axis >= 0; --axis)
  {
    chosen = chosen.select(1, voxel[static_cast<std::size_t>(axis)]);
  }
  // Channels of either sign must not cancel: a fixed random mixture of them does not.
  const at::Tensor mixture = at::linspace(0.7, 1.9, chosen.numel(), chosen.options());
  const auto       gradient = torch::autograd::grad(
    { (chosen * mixture).sum() }, { input }, {}, /*retain_graph=*/true, false, /*allow_unused=*/true);
  return gradient[0].defined() ? gradient[0].abs().sum(at::IntArrayRef{ 0, 1 }).to(at::kDouble).cpu() : at::Tensor();
}

std::optional<FieldOfView>
fieldOfView(const at::Tensor & sensitivity)
{
  const double largest = sensitivity.defined() ? sensitivity.max().item<double>() : 0.0;
  if (!(largest > 0.0) || !std::isfinite(largest))
  {
    return std::nullopt;
  }
  // Normalisation layers make every voxel depend a little on the whole image: only the core counts.
  const at::Tensor core = sensitivity > 1e-3 * largest;
  FieldOfView      result;
  const int        axes = static_cast<int>(sensitivity.dim());
  for (int axis = 0; axis < axes; ++axis)
  {
    at::Tensor any = core;
    for (int other = axes - 1; other >= 0; --other)
    {
      if (other != axes - 1 - axis)
      {
        any = any.any(other);
      }
    }
    const at::Tensor   places = any.nonzero();
    const std::int64_t first = places[0].item<std::int64_t>();
    const std::int64_t last = places[-1].item<std::int64_t>();
    if (first == 0 || last == any.numel() - 1)
    {
      return std::nullopt; // cut off by the border: its centre cannot be seen
    }
    result.first[static_cast<std::size_t>(axis)] = static_cast<double>(first);
    result.last[static_cast<std::size_t>(axis)] = static_cast<double>(last);
  }
  return result;
}

/** \param wholeStrides a layer of 10 voxels from 39 has stride 4, rather than 3.9 */
LayerLayout
symmetricLayout(const std::array<std::int64_t, 3> & input, const std::array<std::int64_t, 3> & layer, bool wholeStrides)
{
  LayerLayout layout;
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const auto   n = static_cast<double>(input[axis]);
    const auto   m = static_cast<double>(layer[axis]);
    const double ratio = n / m;
    layout.stride[axis] = wholeStrides && ratio >= 1.0 ? std::max(1.0, std::round(ratio)) : ratio;
    layout.offset[axis] = 0.5 * ((n - 1.0) - layout.stride[axis] * (m - 1.0));
  }
  return layout;
}

/** What two neighbouring voxels in the middle of a layer depend on, summed over the inputs tried. */
struct Middle
{
  bool                        isWhole{ false }; // as large as the input
  std::array<std::int64_t, 3> voxel{};
  std::array<std::int64_t, 3> next{};
  at::Tensor                  sensitivity; // undefined: nothing known
  at::Tensor                  nextSensitivity;

  void
  add(const at::Tensor & layer, const at::Tensor & input)
  {
    const auto size = spatialSize(layer);
    isWhole = size == spatialSize(input);
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      voxel[axis] = std::max<std::int64_t>(0, size[axis] / 2 - 1);
      next[axis] = std::min(voxel[axis] + 1, size[axis] - 1);
    }
    const auto added = [&](const at::Tensor & sum, const at::Tensor & more) {
      return sum.defined() && more.defined() ? sum + more : more;
    };
    sensitivity = added(sensitivity, sensitivityOf(layer, input, voxel));
    if (!isWhole)
    {
      nextSensitivity = added(nextSensitivity, sensitivityOf(layer, input, next));
    }
  }

  std::optional<LayerLayout>
  layout(int dimension) const
  {
    const auto field = fieldOfView(sensitivity);
    const auto nextField = isWhole ? field : fieldOfView(nextSensitivity);
    if (!field || !nextField)
    {
      return std::nullopt;
    }
    LayerLayout layout;
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(dimension); ++axis)
    {
      layout.stride[axis] = isWhole ? 1.0 : nextField->centre(axis) - field->centre(axis);
      layout.reach[axis] = 0.5 * (field->last[axis] - field->first[axis]);
      layout.offset[axis] = field->centre(axis) - layout.stride[axis] * static_cast<double>(voxel[axis]);
      if (layout.stride[axis] <= 0.0)
      {
        return std::nullopt;
      }
    }
    return layout;
  }
};

/** The least and greatest intensity of the image that a model's input comes from; -1 and 1 where it has none. */
std::pair<double, double>
rangeOf(const ImageContext & context)
{
  const auto range = context.statistics.to(at::kCPU, at::kDouble);
  return at::isfinite(range).all().item<bool>() ? std::pair{ range[0].item<double>(), range[1].item<double>() }
                                                : std::pair{ -1.0, 1.0 };
}

/** One of many images that are irregular but always the same, with values between `low` and `high`. */
at::Tensor
irregularImage(const std::vector<std::int64_t> & shape, double low, double high, int number)
{
  // A wave whose period fits no grid.
  at::Tensor image = at::arange(c10::multiply_integers(shape), at::dtype(at::kDouble));
  image = (image * (12.9898 + 0.7313 * number)).sin().mul(43758.5453).frac().view(shape);
  return ((high + low) / 2 + (high - low) / 2 * image).to(at::kFloat);
}

/** Whether a layer's strides are such as its size suggests; otherwise too few of the voxels may have shown. */
bool
isRegular(const MeasuredLayer & layer, const std::array<std::int64_t, 3> & input)
{
  for (std::size_t axis = 0; layer.layout && layer.size != input && axis < 3; ++axis)
  {
    const double stride = layer.layout->stride[axis];
    const double ratio = static_cast<double>(input[axis]) / static_cast<double>(layer.size[axis]);
    if (stride != std::round(stride) || std::abs(stride - ratio) >= 1.0)
    {
      return false;
    }
  }
  return true;
}

} // namespace

at::Tensor
irregularImage(const std::vector<std::int64_t> & shape, double low, double high)
{
  return irregularImage(shape, low, high, 0);
}

bool
fits(const LayerLayout & layout, const std::array<std::int64_t, 3> & input, const std::array<std::int64_t, 3> & layer)
{
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const double last = layout.offset[axis] + layout.stride[axis] * static_cast<double>(layer[axis] - 1);
    const double after = static_cast<double>(input[axis] - 1) - last;
    if (std::abs(after - layout.offset[axis]) > layout.stride[axis] + 1e-9)
    {
      return false;
    }
  }
  return true;
}

std::vector<std::int64_t>
inputShape(std::int64_t batch, int numberOfChannels, int dimension, const std::array<std::int64_t, 3> & size)
{
  std::vector<std::int64_t> shape{ batch, numberOfChannels };
  for (int axis = dimension - 1; axis >= 0; --axis)
  {
    shape.push_back(size[static_cast<std::size_t>(axis)]);
  }
  return shape;
}

std::array<std::int64_t, 3>
spatialSize(const at::Tensor & tensor)
{
  std::array<std::int64_t, 3> size{ 1, 1, 1 };
  for (std::int64_t axis = 0; axis < tensor.dim() - 2; ++axis)
  {
    size[static_cast<std::size_t>(axis)] = tensor.size(tensor.dim() - 1 - axis);
  }
  return size;
}

std::vector<MeasuredLayer>
measureLayers(const Model &                       model,
              int                                 dimension,
              int                                 numberOfChannels,
              const std::vector<bool> &           mask,
              const ImageContext &                context,
              at::Device                          device,
              const std::array<std::int64_t, 3> & inputSize,
              int                                 numberOfInputs)
{
  const auto [low, high] = rangeOf(context);

  at::AutoGradMode           gradientsOn(true);
  std::vector<MeasuredLayer> measured;
  std::vector<Middle>        middles;
  constexpr int              mostInputs = 6;
  bool                       regular = false;
  for (int number = 0; number < numberOfInputs || (!regular && number < mostInputs); ++number)
  {
    // Within the image's range: networks clamp intensities that they do not expect, and say nothing there.
    const auto shape = inputShape(1, numberOfChannels, dimension, inputSize);
    at::Tensor input = irregularImage(shape, low, high, number).to(device).set_requires_grad(true);
    const auto layers = model.selected(input, mask, context);
    measured.resize(layers.size());
    middles.resize(layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
      measured[i] = { layers[i].size(1), spatialSize(layers[i]), layers[i].requires_grad(), std::nullopt };
      if (measured[i].differentiable)
      {
        middles[i].add(layers[i], input);
      }
      measured[i].layout = middles[i].layout(dimension);
    }
    regular =
      std::all_of(measured.begin(), measured.end(), [&](const auto & layer) { return isRegular(layer, inputSize); });
  }
  return measured;
}

std::vector<std::optional<LayerLayout>>
measureLayouts(const Model &                       model,
               int                                 dimension,
               int                                 numberOfChannels,
               const std::vector<bool> &           mask,
               const ImageContext &                context,
               at::Device                          device,
               const std::array<std::int64_t, 3> & inputSize)
{
  const NetworkChain * const chain =
    device.is_cpu() ? model.chain(mask, dimension, numberOfChannels, context.direction, ChainUse::Images) : nullptr;
  if (chain && chain->accepts(inputSize))
  {
    std::vector<std::optional<LayerLayout>> layouts;
    for (const NetworkChain::Layer & layer : chain->description(inputSize))
    {
      layouts.emplace_back(layer.layout);
    }
    return layouts;
  }
  if (const auto outline =
        device.is_cpu() ? model.outline(mask, dimension, numberOfChannels, context.direction, inputSize) : std::nullopt)
  {
    std::vector<std::optional<LayerLayout>> layouts;
    for (const NetworkOutline::Layer & layer : outline->layers)
    {
      layouts.push_back(layer.layout);
    }
    return layouts;
  }
  const auto [low, high] = rangeOf(context);
  constexpr std::array<std::int64_t, 3> cubes{ 0, 0, 0 };
  const ModelMemory::LayoutKey          measuredKey{ dimension, numberOfChannels, mask, cubes, 0.0, 0.0 };
  const ModelMemory::LayoutKey          failedKey{ dimension, numberOfChannels, mask, cubes, low, high };

  // Of inputs somewhat longer than cubes of a side along each axis. \return whether all layers were measured
  const auto measureInto = [&](ModelMemory::Layouts & into, const std::array<std::int64_t, 3> & longer) {
    std::array<std::int64_t, 3> size{ 1, 1, 1 };
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(dimension); ++axis)
    {
      size[axis] = into.side + longer[axis];
    }
    try
    {
      const auto layers = measureLayers(model, dimension, numberOfChannels, mask, context, device, size, 1);
      std::transform(
        layers.begin(), layers.end(), into.layouts.begin(), [](const auto & layer) { return layer.layout; });
    }
    catch (const std::exception & error)
    {
      if (isOutOfMemory(error) || isDeviceFailure(error) || dynamic_cast<const TimeLimitError *>(&error))
      {
        throw;
      }
      // A model that wants inputs of another size, or cannot be differentiated, cannot be measured.
    }
    return std::all_of(
      into.layouts.begin(), into.layouts.end(), [](const auto & layout) { return layout.has_value(); });
  };

  auto found = model.memory().layouts.find(measuredKey);
  if (!found)
  {
    found = model.memory().layouts.find(failedKey);
  }
  bool all = found && std::all_of(found->layouts.begin(), found->layouts.end(), [](const auto & layout) {
               return layout.has_value();
             });
  if (!found)
  {
    // Small inputs are quick, and tell where fields of view end within them; large ones are large enough for most. In
    // an image of few voxels normalisation makes each depend on all others by more than what is counted: in 2D it takes
    // a longer side to have as many.
    found.emplace();
    found->layouts.resize(static_cast<std::size_t>(std::count(mask.begin(), mask.end(), true)));
    for (const std::int64_t side : { 24, 64, 512 })
    {
      if (all || (side == 512 && dimension == 3))
      {
        continue;
      }
      found->side = side;
      all = measureInto(*found, cubes);
    }
    model.memory().layouts.keep(all ? measuredKey : failedKey, *found);
  }

  // A network that turns its input begins its strides at the other end: where its voxels lie depends on what is left.
  std::array<std::int64_t, 3> longer{ 0, 0, 0 };
  for (std::size_t axis = 0; all && axis < static_cast<std::size_t>(dimension); ++axis)
  {
    std::int64_t strides = 1;
    for (const auto & layout : found->layouts)
    {
      strides = std::lcm(strides, std::max<std::int64_t>(1, std::llround(layout->stride[axis])));
    }
    longer[axis] = ((inputSize[axis] - found->side) % strides + strides) % strides;
  }
  if (longer != cubes)
  {
    const ModelMemory::LayoutKey longerKey{ dimension, numberOfChannels, mask, longer, 0.0, 0.0 };
    auto                         ofLonger = model.memory().layouts.find(longerKey);
    if (!ofLonger)
    {
      ofLonger = found;
      if (!measureInto(*ofLonger, longer))
      {
        ofLonger = found;
      }
      model.memory().layouts.keep(longerKey, *ofLonger);
    }
    return ofLonger->layouts;
  }
  return found->layouts;
}

std::vector<KnownLayout>
layoutsOf(const Model &                                    model,
          const std::vector<std::array<std::int64_t, 3>> & layers,
          const std::array<std::int64_t, 3> &              inputSize,
          int                                              dimension,
          int                                              numberOfChannels,
          const std::vector<bool> &                        mask,
          const ImageContext &                             context,
          at::Device                                       device)
{
  std::vector<KnownLayout>                layouts(layers.size());
  std::vector<std::optional<LayerLayout>> measured;
  for (std::size_t i = 0; i < layers.size(); ++i)
  {
    const auto & size = layers[i];
    if (size == inputSize)
    {
      continue;
    }
    if (measured.empty())
    {
      measured = measureLayouts(model, dimension, numberOfChannels, mask, context, device, inputSize);
    }
    if (measured[i] && fits(*measured[i], inputSize, size))
    {
      layouts[i].layout = *measured[i];
    }
    else
    {
      layouts[i] = { symmetricLayout(inputSize, size, !measured[i]), false };
    }
  }
  return layouts;
}

} // namespace impact
