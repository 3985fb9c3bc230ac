#pragma once

#include "impact/base/random.h"
#include "impact/runtime/torch_headers.h"
#include "impact/settings/settings.h"

namespace impact
{

/** The channels that a layer compares at this evaluation: indices, or an undefined tensor for all of them. */
inline at::Tensor
drawChannels(Random & random, const LayerSettings & layer, std::int64_t numberOfChannels, at::Device device)
{
  if (layer.subsetFeatures <= 0 || layer.subsetFeatures >= numberOfChannels)
  {
    return {};
  }
  constexpr bool withoutWaiting = true; // see TorchTransform
  return at::tensor(random.subset(layer.subsetFeatures, numberOfChannels), at::kLong)
    .to(device, at::kLong, withoutWaiting);
}

/** The columns of those channels. */
inline at::Tensor
columns(const at::Tensor & rows, const at::Tensor & channels)
{
  return channels.defined() ? rows.index_select(1, channels) : rows;
}

} // namespace impact
