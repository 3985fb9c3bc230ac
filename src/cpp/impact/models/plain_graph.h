#pragma once

#include "impact/runtime/torch_headers.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

/** What forward() is given each time alike, and what of its result is wanted. */
struct PlainRequest
{
  int rank{ 0 }; // of the image: batch, channels, axes of space
  std::vector<std::optional<c10::IValue>>
                    arguments; // besides the image, as forward() declares them; nothing: varies, a vector
  std::vector<bool> layers;    // which of the layers
  bool              exactly;   // whether there must not be more of them
};

/** forward() of a network without what its fixed arguments decide: functions and modules opened, branches decided,
 * loops unrolled, lists taken apart, constants computed, and without what only unwanted layers need. Its inputs are the
 * image and the arguments that vary; its one output is a tuple of the wanted layers.
 *
 * This is partial evaluation: every node whose inputs are known is run there and then, every other is kept, in order
 * (N. D. Jones, C. K. Gomard, P. Sestoft, Partial Evaluation and Automatic Program Generation, 1993).
 *
 * \return null where that cannot be done: the module changes itself, or which layers there are depends on the image.
 * Nothing is thrown. \param why null, or receives the reason */
std::shared_ptr<torch::jit::Graph>
plainGraph(const torch::jit::Module & module, const PlainRequest & request, std::string * why = nullptr);

/** Drops what the outputs of a graph do not need, checks of it included: of a size, say, that some other layer has. */
void keepWhatIsNeeded(const std::shared_ptr<torch::jit::Graph> & graph);

/** The values that a node takes from outside: its inputs, and what its blocks look at. */
void forEachTaken(const torch::jit::Node & node, const std::function<void(const torch::jit::Value *)> & action);

} // namespace impact
