#pragma once

#include "impact/runtime/torch_headers.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <optional>
#include <string>
#include <vector>

namespace impact
{

using OperatorArguments = std::vector<c10::IValue>;

/** What an operator gives in pieces; nothing where it is not worth it, or not of a kind that is known. Pieces depend on
 * the shapes of the tensors alone. The first argument is a dense tensor of floating point on the CPU. */
using PieceRule = std::optional<at::Tensor> (*)(torch::jit::Operation &, const OperatorArguments &);

/** The rule for one of torch's operators, by its name; null where it has none. */
PieceRule pieceRuleOf(const std::string & name);

/** Whether an argument is a dense tensor of floating point on the CPU. */
bool isPlain(const c10::IValue & argument);

} // namespace impact
