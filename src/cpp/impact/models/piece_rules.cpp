#include "impact/models/piece_rules.h"

#include "impact/runtime/torch_tasks.h"

#include <algorithm>
#include <unordered_map>

namespace impact
{
namespace
{

using Arguments = OperatorArguments;
using torch::jit::Operation;
using torch::jit::Stack;

/** Numbers in a piece of what is done to each number by itself: some hundred microseconds. */
constexpr std::int64_t numbersPerPiece = std::int64_t{ 1 } << 17;

/** Multiplications in a piece: likewise. */
constexpr std::int64_t productsPerPiece = std::int64_t{ 1 } << 24;

at::Tensor
call(Operation & operation, Arguments arguments)
{
  Stack stack = std::move(arguments);
  operation(stack);
  return stack.back().toTensor();
}

/** The result of an operation, put together along one axis of pieces of itself.
 *
 * \param of gives the arguments that make the piece of a first place along that axis and a number of them */
template <typename TOf>
at::Tensor
inPieces(Operation & operation, std::int64_t axis, std::int64_t length, std::int64_t perPiece, const TOf & of)
{
  const at::Tensor first = call(operation, of(0, std::min(perPiece, length)));
  auto             size = first.sizes().vec();
  size[static_cast<std::size_t>(axis)] = length;
  at::Tensor result = at::empty(size, first.options());
  result.narrow(axis, 0, first.size(axis)).copy_(first);
  torchInPieces(length - first.size(axis), perPiece, [&](std::int64_t begin, std::int64_t number) {
    begin += first.size(axis);
    result.narrow(axis, begin, number).copy_(call(operation, of(begin, number)));
  });
  return result;
}

/** With a range of one argument along an axis in its place. */
void
narrow(c10::IValue & argument, std::int64_t axis, std::int64_t first, std::int64_t number)
{
  argument = argument.toTensor().narrow(axis, first, number);
}

/** (input, ..., what belongs to each channel, ...): channel by channel. */
template <bool TInPlace>
std::optional<at::Tensor>
byChannel(Operation & operation, const Arguments & arguments)
{
  const at::Tensor & input = arguments[0].toTensor();
  if (input.dim() < 3 || input.size(1) < 2 || input.numel() < 2 * numbersPerPiece)
  {
    return {};
  }
  const std::int64_t channels = input.size(1);
  const std::int64_t perPiece = std::max<std::int64_t>(1, channels * numbersPerPiece / input.numel());
  const auto         of = [&](std::int64_t first, std::int64_t number) {
    Arguments part = arguments;
    narrow(part[0], 1, first, number);
    for (std::size_t i = 1; i < part.size(); ++i)
    {
      if (part[i].isTensor() && part[i].toTensor().defined() && part[i].toTensor().dim() == 1 &&
          part[i].toTensor().size(0) == channels)
      {
        narrow(part[i], 0, first, number);
      }
    }
    return part;
  };
  if (TInPlace)
  {
    torchInPieces(
      channels, perPiece, [&](std::int64_t first, std::int64_t number) { call(operation, of(first, number)); });
    return input;
  }
  return inPieces(operation, 1, channels, perPiece, of);
}

/** Where a kind of convolution has its arguments. */
struct ConvolutionPlaces
{
  std::size_t stride, padding, dilation, groups, transposed; // 0: has none
};

/** The first of some numbers; 0 where there are none, which torch refuses. */
std::int64_t
firstOf(const c10::IValue & list)
{
  const auto numbers = list.toIntVector();
  return numbers.empty() ? 0 : numbers.front();
}

/** Several slices of the output at a time along its first axis of space, with the slices of the input that these see.
 */
std::optional<at::Tensor>
bySlice(Operation & operation, const Arguments & arguments, const ConvolutionPlaces & places)
{
  const at::Tensor & input = arguments[0].toTensor();
  const at::Tensor & weight = arguments[1].toTensor();
  const std::int64_t stride = firstOf(arguments[places.stride]);
  const std::int64_t padding = firstOf(arguments[places.padding]);
  const std::int64_t dilation = firstOf(arguments[places.dilation]);
  const std::int64_t reach = dilation * (weight.size(2) - 1) + 1;
  if (stride < 1 || dilation < 1 || padding < 0 || padding >= reach)
  {
    return {};
  }
  const std::int64_t length = (input.size(2) + 2 * padding - reach) / stride + 1;
  const std::int64_t perSlice = input.size(0) * weight.numel() * (input.numel() / input.size(0) / input.size(1)) /
                                std::max<std::int64_t>(1, input.size(2));
  // Where a piece is smaller than so many numbers (but for their last axis), torch takes a slower way.
  const std::int64_t enough = 20480 / std::max<std::int64_t>(1, input.size(0) * input.size(1) * input.size(3)) + 1;
  const std::int64_t perPiece =
    std::max({ std::int64_t{ 4 }, productsPerPiece / std::max<std::int64_t>(1, perSlice), enough / stride + 1 });
  if (length < 2 * perPiece)
  {
    return {};
  }
  return inPieces(operation, 2, length, perPiece, [&](std::int64_t first, std::int64_t number) {
    const std::int64_t        begin = first * stride - padding;
    const std::int64_t        end = (first + number - 1) * stride - padding + reach;
    const std::int64_t        inside = std::max<std::int64_t>(0, begin);
    const std::int64_t        until = std::min(input.size(2), end);
    at::Tensor                seen = input.narrow(2, inside, until - inside);
    std::vector<std::int64_t> zeros(static_cast<std::size_t>(2 * (input.dim() - 2)), 0);
    zeros[zeros.size() - 2] = inside - begin;
    zeros[zeros.size() - 1] = end - until;
    seen = zeros.back() + zeros[zeros.size() - 2] > 0 ? at::constant_pad_nd(seen, zeros) : seen.contiguous();
    Arguments part = arguments;
    part[0] = seen;
    auto paddings = arguments[places.padding].toIntVector();
    paddings.resize(static_cast<std::size_t>(input.dim() - 2), paddings.front());
    paddings[0] = 0;
    part[places.padding] = paddings;
    return part;
  });
}

/** Some of the output's channels at a time. */
std::optional<at::Tensor>
byOutput(Operation & operation, const Arguments & arguments)
{
  constexpr std::int64_t perPiece = 16;
  const at::Tensor &     input = arguments[0].toTensor();
  const at::Tensor &     weight = arguments[1].toTensor();
  const std::int64_t     outputs = weight.size(1);
  if (outputs < 2 * perPiece || input.numel() / input.size(1) * weight.numel() < 2 * productsPerPiece)
  {
    return {};
  }
  return inPieces(operation, 1, outputs, perPiece, [&](std::int64_t first, std::int64_t number) {
    Arguments part = arguments;
    part[1] = weight.narrow(1, first, number).contiguous();
    if (isPlain(part[2]))
    {
      narrow(part[2], 0, first, number);
    }
    return part;
  });
}

template <std::size_t TStride,
          std::size_t TPadding,
          std::size_t TDilation,
          std::size_t TGroups,
          std::size_t TTransposed,
          bool        TIsTransposed>
std::optional<at::Tensor>
convolution(Operation & operation, const Arguments & arguments)
{
  const ConvolutionPlaces places{ TStride, TPadding, TDilation, TGroups, TTransposed };
  const at::Tensor &      input = arguments[0].toTensor();
  if (!isPlain(arguments[1]) || input.dim() < 4 || input.dim() != arguments[1].toTensor().dim() || input.numel() == 0 ||
      !arguments[places.padding].isIntList())
  {
    return {};
  }
  if (TIsTransposed || (places.transposed > 0 && arguments[places.transposed].toBool()))
  {
    return arguments[places.groups].toInt() == 1 ? byOutput(operation, arguments) : std::nullopt;
  }
  return bySlice(operation, arguments, places);
}

/** (rows, matrix, ...): some rows at a time. */
std::optional<at::Tensor>
byRow(Operation & operation, const Arguments & arguments)
{
  const at::Tensor & input = arguments[0].toTensor();
  if (!isPlain(arguments[1]) || arguments[1].toTensor().dim() != 2 || arguments[1].toTensor().numel() == 0 ||
      input.dim() < 2 || input.numel() == 0)
  {
    return {};
  }
  const std::int64_t inner = input.size(-1);
  const std::int64_t rows = input.numel() / inner;
  const std::int64_t perPiece = std::max<std::int64_t>(16, productsPerPiece / arguments[1].toTensor().numel());
  if (rows < 2 * perPiece)
  {
    return {};
  }
  const at::Tensor flat = input.reshape({ rows, inner });
  const at::Tensor result = inPieces(operation, 0, rows, perPiece, [&](std::int64_t first, std::int64_t number) {
    Arguments part = arguments;
    part[0] = flat.narrow(0, first, number);
    return part;
  });
  auto             size = input.sizes().vec();
  size.back() = result.size(1);
  return result.view(size);
}

/** Products of as many matrices, and attention of as many heads, one by one. */
template <std::size_t TTensors>
std::optional<at::Tensor>
byMatrix(Operation & operation, const Arguments & arguments)
{
  const at::Tensor & first = arguments[0].toTensor();
  const std::int64_t axis = first.dim() - 3;
  if (axis < 0 || axis > 1 || first.size(axis) < 2 || first.numel() == 0)
  {
    return {};
  }
  for (std::size_t i = 1; i < TTensors; ++i)
  {
    if (!isPlain(arguments[i]) || arguments[i].toTensor().dim() != first.dim() ||
        arguments[i].toTensor().size(axis) != first.size(axis))
    {
      return {};
    }
  }
  if (TTensors == 3 && arguments.size() > 3 && !arguments[3].isNone()) // a mask may be of all heads
  {
    return {};
  }
  if (first.numel() * arguments[1].toTensor().size(-1) < 2 * productsPerPiece)
  {
    return {};
  }
  return inPieces(operation, axis, first.size(axis), 1, [&](std::int64_t begin, std::int64_t number) {
    Arguments part = arguments;
    for (std::size_t i = 0; i < TTensors; ++i)
    {
      narrow(part[i], axis, begin, number);
    }
    return part;
  });
}

/** matmul(): rows by one matrix, or as many matrices by as many. */
std::optional<at::Tensor>
product(Operation & operation, const Arguments & arguments)
{
  return isPlain(arguments[1]) && arguments[1].toTensor().dim() == 2 ? byRow(operation, arguments)
                                                                     : byMatrix<2>(operation, arguments);
}

const std::unordered_map<std::string, PieceRule> &
rules()
{
  static const auto all = [] {
    std::unordered_map<std::string, PieceRule> known{
      { "aten::conv2d", convolution<3, 4, 5, 6, 0, false> },
      { "aten::conv3d", convolution<3, 4, 5, 6, 0, false> },
      { "aten::convolution", convolution<3, 4, 5, 8, 6, false> },
      { "aten::_convolution", convolution<3, 4, 5, 8, 6, false> },
      { "aten::conv_transpose2d", convolution<3, 4, 7, 6, 0, true> },
      { "aten::conv_transpose3d", convolution<3, 4, 7, 6, 0, true> },
      { "aten::linear", byRow },
      { "aten::mm", byRow },
      { "aten::matmul", product },
      { "aten::bmm", byMatrix<2> },
      { "aten::scaled_dot_product_attention", byMatrix<3> },
    };
    for (const char * const name : { "instance_norm",
                                     "batch_norm",
                                     "max_pool2d",
                                     "max_pool3d",
                                     "avg_pool2d",
                                     "avg_pool3d",
                                     "upsample_nearest2d",
                                     "upsample_nearest3d",
                                     "upsample_bilinear2d",
                                     "upsample_bicubic2d",
                                     "upsample_trilinear3d" })
    {
      known.emplace(std::string("aten::") + name, byChannel<false>);
    }
    for (const char * const name : { "relu",
                                     "relu6",
                                     "leaky_relu",
                                     "elu",
                                     "selu",
                                     "celu",
                                     "gelu",
                                     "silu",
                                     "mish",
                                     "sigmoid",
                                     "tanh",
                                     "exp",
                                     "hardtanh",
                                     "hardswish",
                                     "hardsigmoid",
                                     "softplus" })
    {
      known.emplace(std::string("aten::") + name, byChannel<false>);
      known.emplace(std::string("aten::") + name + "_", byChannel<true>);
    }
    return known;
  }();
  return all;
}

} // namespace

PieceRule
pieceRuleOf(const std::string & name)
{
  const auto found = rules().find(name);
  return found == rules().end() ? nullptr : found->second;
}

bool
isPlain(const c10::IValue & argument)
{
  return argument.isTensor() && argument.toTensor().defined() && argument.toTensor().is_cpu() &&
         argument.toTensor().layout() == at::kStrided && argument.toTensor().is_floating_point();
}

} // namespace impact
