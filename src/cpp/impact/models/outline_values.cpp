#include "impact/models/outline_values.h"

#include <algorithm>

namespace impact
{

void
OutlineValues::keep(const Value * value, const at::Tensor & tensor, Dimensions dimensions)
{
  m_Tensors[value] = tensor;
  m_Dimensions[value] = std::move(dimensions);
  const auto * const storage = tensor.storage().unsafeGetStorageImpl();
  if (m_Holders[storage]++ == 0)
  {
    m_Bytes += static_cast<std::int64_t>(tensor.storage().nbytes());
    m_MostBytes = std::max(m_MostBytes, m_Bytes);
  }
}

void
OutlineValues::keepConstant(const Value * value, const c10::IValue & constant)
{
  if (constant.isTensor() && constant.toTensor().defined())
  {
    const at::Tensor & tensor = constant.toTensor();
    m_Tensors[value] = at::empty(tensor.sizes(), tensor.options().device(at::kMeta));
  }
  else
  {
    m_Others[value] = constant;
  }
}

void
OutlineValues::keepOther(const Value * value, c10::IValue other)
{
  m_Others[value] = std::move(other);
}

void
OutlineValues::keepAs(const Value * value, const Value * inner)
{
  if (const auto found = m_Tensors.find(inner); found != m_Tensors.end())
  {
    const at::Tensor of = found->second;
    keep(value, of, dimensions(inner));
  }
  else
  {
    m_Others[value] = of(inner);
  }
}

void
OutlineValues::drop(const Value * value)
{
  const auto found = m_Tensors.find(value);
  if (found == m_Tensors.end() || m_Dimensions.count(value) == 0)
  {
    return;
  }
  if (--m_Holders[found->second.storage().unsafeGetStorageImpl()] == 0)
  {
    m_Bytes -= static_cast<std::int64_t>(found->second.storage().nbytes());
  }
  m_Dimensions.erase(value);
  m_Tensors.erase(found);
}

c10::IValue
OutlineValues::of(const Value * value) const
{
  if (const auto tensor = m_Tensors.find(value); tensor != m_Tensors.end())
  {
    return tensor->second;
  }
  if (const auto other = m_Others.find(value); other != m_Others.end())
  {
    return other->second;
  }
  throw NoOutline();
}

const Dimensions *
OutlineValues::dimensionsIfAny(const Value * value) const
{
  const auto found = m_Dimensions.find(value);
  return found == m_Dimensions.end() ? nullptr : &found->second;
}

const Dimensions &
OutlineValues::dimensions(const Value * value) const
{
  const Dimensions * const found = dimensionsIfAny(value);
  if (!found)
  {
    throw NoOutline();
  }
  return *found;
}

bool
OutlineValues::isOfImage(const Node & node) const
{
  const auto inputs = node.inputs();
  return std::any_of(inputs.begin(), inputs.end(), [this](const Value * input) {
    if (input->node()->kind() == c10::prim::ListConstruct)
    {
      return isOfImage(*input->node());
    }
    const Dimensions * const found = dimensionsIfAny(input);
    return found && std::any_of(found->begin(), found->end(), [](const Along & along) { return along.axis >= 0; });
  });
}

bool
OutlineValues::isShared(const Value * value) const
{
  const auto found = m_Tensors.find(value);
  return found != m_Tensors.end() && m_Dimensions.count(value) > 0 &&
         m_Holders.at(found->second.storage().unsafeGetStorageImpl()) > 1;
}

void
OutlineValues::changeInPlace(const Node & node, const Dimensions & made)
{
  const Value * const changed = node.inputs()[0];
  const auto          before = m_Dimensions.find(changed);
  if (before == m_Dimensions.end() || before->second.size() != made.size())
  {
    throw NoOutline();
  }
  for (std::size_t d = 0; d < made.size(); ++d)
  {
    const bool isSame = before->second[d].axis == made[d].axis && before->second[d].offset == made[d].offset &&
                        before->second[d].reach == made[d].reach;
    if (!isSame && isShared(changed))
    {
      throw NoOutline();
    }
  }
  before->second = made;
}

c10::IValue
OutlineValues::argument(const Node & node, const std::string & name) const
{
  const auto place = node.schema().argumentIndexWithName(name);
  return place ? of(node.inputs()[static_cast<std::size_t>(*place)]) : c10::IValue();
}

std::vector<std::int64_t>
OutlineValues::numbers(const Node & node, const std::string & name, std::size_t count, std::int64_t otherwise) const
{
  const c10::IValue         value = argument(node, name);
  std::vector<std::int64_t> list;
  if (value.isIntList())
  {
    list = value.toIntVector();
  }
  else if (value.isInt())
  {
    list = { value.toInt() };
  }
  if (list.empty())
  {
    list = { otherwise };
  }
  list.resize(count, list.front());
  return list;
}

void
OutlineValues::wantBeside(std::int64_t bytes)
{
  m_MostBytes = std::max(m_MostBytes, m_Bytes + bytes);
}

} // namespace impact
