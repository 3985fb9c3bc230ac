#pragma once

#include "impact/models/outline_values.h"

namespace impact
{

/** What the places of an operator's result see of the image. */
Dimensions dimensionsOf(const torch::jit::Node & node, const at::Tensor & result, const OutlineValues & values);

} // namespace impact
