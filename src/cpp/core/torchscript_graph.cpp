#include "torchscript_graph.h"

#include <algorithm>

namespace impact
{

void
moveDeviceConstants(torch::jit::Block & block, at::Device device)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      moveDeviceConstants(*inner, device);
    }
    if (node->kind() != c10::prim::Constant)
    {
      continue;
    }
    const auto & type = node->output()->type();
    if (const auto function = type->cast<c10::FunctionType>())
    {
      moveDeviceConstants(*torch::jit::toGraphFunction(*function->function()).graph()->block(), device);
    }
    else if (type->kind() == c10::TypeKind::DeviceObjType && node->hasAttribute(c10::attr::value) &&
             at::Device(node->s(c10::attr::value)).is_cuda())
    {
      node->s_(c10::attr::value, device.str());
    }
  }
}

bool
convertsToHalf(torch::jit::Block & block)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      if (convertsToHalf(*inner))
      {
        return true;
      }
    }
    // x.half() is traced as aten::to(x, 5, ...): the number of the type.
    const auto isHalf = [](const torch::jit::Value * value) {
      return torch::jit::toIValue(value) == c10::IValue(static_cast<std::int64_t>(at::kHalf));
    };
    const auto inputs = node->inputs();
    if (node->kind() == c10::Symbol::fromQualString("aten::half") ||
        (node->kind() == c10::aten::to && std::any_of(inputs.begin() + 1, inputs.end(), isHalf)))
    {
      return true;
    }
  }
  return false;
}

void
convolveInSinglePrecision(torch::jit::Block & block)
{
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      convolveInSinglePrecision(*inner);
    }
    const auto * const schema = node->kind() == c10::aten::_convolution ? node->maybeSchema() : nullptr;
    const auto         place = schema ? schema->argumentIndexWithName("allow_tf32") : std::nullopt;
    if (place)
    {
      const torch::jit::WithInsertPoint before(node);
      node->replaceInput(static_cast<std::size_t>(*place), block.owningGraph()->insertConstant(false));
    }
  }
}

} // namespace impact
