#pragma once

#include "impact/api/messages.h"
#include "impact/runtime/torch_headers.h"

namespace impact
{

/** The sizes of a tensor as messages have them: 1 x 3 x 5. */
std::string shapeOf(const at::Tensor & tensor);

/** The part of a torch error that a user can use: its first line. */
std::string firstLine(const std::exception & error);

} // namespace impact
