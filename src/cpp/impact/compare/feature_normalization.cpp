#include "impact/compare/feature_normalization.h"

#include "impact/base/error.h"
#include "impact/base/workers.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

constexpr double smallest = 1e-12; // length or deviation of a vector that is not taken for zeros

/** How a vector is normalised: what is taken from each number, and what the rest is multiplied by. */
struct Scaling
{
  double mean{ 0.0 };
  double factor{ 0.0 };

  Scaling(FeatureNormalization kind, const float * row, std::int64_t channels)
  {
    const bool isStandardized = kind == FeatureNormalization::Standardized;
    const auto count = static_cast<double>(channels);
    for (std::int64_t c = 0; isStandardized && c < channels; ++c)
    {
      mean += row[c];
    }
    mean /= count;
    double squares = 0.0;
    for (std::int64_t c = 0; c < channels; ++c)
    {
      const double rest = row[c] - mean;
      squares += rest * rest;
    }
    const double size = std::sqrt(isStandardized ? squares / (count - 1.0) : squares);
    factor = size > smallest * std::max(1.0, std::abs(mean)) ? 1.0 / size : 0.0;
  }
};

/** Calls the function with the number of each row, from the threads. */
template <typename Function>
void
forRows(std::int64_t rows, const Function & function)
{
  constexpr std::int64_t perTask = 256;
  inParallel((rows + perTask - 1) / perTask, [&](std::int64_t task) {
    for (std::int64_t row = task * perTask; row < std::min(rows, (task + 1) * perTask); ++row)
    {
      function(row);
    }
  });
}

/** \param to may be the rows themselves */
void
normalizeRows(FeatureNormalization kind, const at::Tensor & rows, float * to)
{
  const float * const from = rows.const_data_ptr<float>();
  const std::int64_t  channels = rows.size(1);
  forRows(rows.size(0), [=](std::int64_t row) {
    const float * const x = from + row * channels;
    float * const       y = to + row * channels;
    const Scaling       scaling(kind, x, channels);
    for (std::int64_t c = 0; c < channels; ++c)
    {
      y[c] = static_cast<float>((x[c] - scaling.mean) * scaling.factor);
    }
  });
}

/** What gradients with respect to normalised rows are with respect to the rows. */
at::Tensor
pullBack(FeatureNormalization kind, const at::Tensor & rows, const at::Tensor & gradient)
{
  const at::Tensor    given = gradient.contiguous();
  const at::Tensor    result = at::empty_like(rows);
  const std::int64_t  channels = rows.size(1);
  const float * const from = rows.const_data_ptr<float>();
  const float * const gradients = given.const_data_ptr<float>();
  float * const       to = result.data_ptr<float>();
  forRows(rows.size(0), [=](std::int64_t row) {
    const float * const x = from + row * channels;
    const float * const g = gradients + row * channels;
    const Scaling       scaling(kind, x, channels);
    double              sum = 0.0;
    double              along = 0.0; // the normalised vector
    for (std::int64_t c = 0; c < channels; ++c)
    {
      sum += g[c];
      along += g[c] * (x[c] - scaling.mean) * scaling.factor;
    }
    const bool   isStandardized = kind == FeatureNormalization::Standardized;
    const double mean = isStandardized ? sum / static_cast<double>(channels) : 0.0;
    along /= isStandardized ? static_cast<double>(channels - 1) : 1.0;
    for (std::int64_t c = 0; c < channels; ++c)
    {
      const double normal = (x[c] - scaling.mean) * scaling.factor;
      to[row * channels + c] = static_cast<float>(scaling.factor * (g[c] - mean - normal * along));
    }
  });
  return result;
}

/** By our own loops, for torch to differentiate. */
class ByKernels : public torch::autograd::Function<ByKernels>
{
public:
  static at::Tensor
  forward(torch::autograd::AutogradContext * context, const at::Tensor & given, std::int64_t kind)
  {
    const at::Tensor rows = given.contiguous();
    at::Tensor       result = at::empty_like(rows);
    normalizeRows(static_cast<FeatureNormalization>(kind), rows, result.data_ptr<float>());
    context->save_for_backward({ rows });
    context->saved_data["kind"] = kind;
    return result;
  }

  static torch::autograd::tensor_list
  backward(torch::autograd::AutogradContext * context, torch::autograd::tensor_list given)
  {
    const auto kind = static_cast<FeatureNormalization>(context->saved_data["kind"].toInt());
    return { pullBack(kind, context->get_saved_variables()[0], given[0]), at::Tensor() };
  }
};

at::Tensor
byTorch(FeatureNormalization kind, const at::Tensor & rows)
{
  const bool       isStandardized = kind == FeatureNormalization::Standardized;
  const at::Tensor x = rows.to(at::kDouble);
  const at::Tensor mean = isStandardized ? x.mean(1, true) : at::zeros({ 1, 1 }, x.options());
  const at::Tensor rest = x - mean;
  // Of equal numbers a device's mean may be a rounding off, which must not be taken for a deviation.
  const at::Tensor squares =
    rest.square().sum(1, true) / (isStandardized ? static_cast<double>(rows.size(1) - 1) : 1.0);
  const at::Tensor regular = squares > (smallest * mean.detach().abs().clamp_min(1.0)).square();
  // The square root of the safe ones: where() alone would still send NaN back through the other branch.
  const at::Tensor sizes = at::where(regular, squares, at::ones_like(squares)).sqrt();
  return at::where(regular, rest / sizes, at::zeros_like(rest)).to(rows.scalar_type());
}

} // namespace

at::Tensor
normalized(FeatureNormalization kind, const at::Tensor & rows, Engine engine)
{
  if (kind == FeatureNormalization::None)
  {
    return rows;
  }
  return engine == Engine::Kernels ? ByKernels::apply(rows, static_cast<std::int64_t>(kind)) : byTorch(kind, rows);
}

void
normalizeInPlace(FeatureNormalization kind, const at::Tensor & rows)
{
  if (kind == FeatureNormalization::None)
  {
    return;
  }
  if (rows.is_cpu())
  {
    normalizeRows(kind, rows, rows.data_ptr<float>());
    return;
  }
  // In parts, so that a whole feature map does not stand in memory in double precision.
  constexpr std::int64_t perPart = std::int64_t{ 1 } << 14;
  for (const at::Tensor & part : rows.split(perPart))
  {
    part.copy_(byTorch(kind, part));
  }
}

void
checkNormalization(const ModelSettings & model, const std::vector<std::int64_t> & channelsOfLayers)
{
  const auto alone = std::find(channelsOfLayers.begin(), channelsOfLayers.end(), 1);
  if (model.featureNormalization == FeatureNormalization::Standardized && alone != channelsOfLayers.end())
  {
    throw ParameterError("FeatureNormalization",
                         "\"standardized\" is not allowed, because selected layer " +
                           std::to_string(alone - channelsOfLayers.begin()) + " of model \"" + model.path +
                           "\" has one channel, which has no deviation.",
                         "Allowed: \"none\", \"l2\"; or select layers of several channels by LayersMask.",
                         Problem::Kind::Value);
  }
}

} // namespace impact
