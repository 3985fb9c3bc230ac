#include "impact/models/partial_evaluator.h"

#include <algorithm>
#include <set>

// What is known of lists whose elements are not, and of tensors that are not.

namespace impact
{

using torch::jit::Node;
using torch::jit::Value;

namespace
{

/** Operators whose result has the rank of their first argument. */
bool
keepsRank(const std::string & name)
{
  static const std::set<std::string> names{
    "conv2d",
    "conv3d",
    "_convolution",
    "convolution",
    "conv_transpose2d",
    "conv_transpose3d",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "relu",
    "relu_",
    "leaky_relu",
    "elu",
    "gelu",
    "leaky_relu_",
    "silu",
    "sigmoid",
    "tanh",
    "dropout",
    "prelu",
    "feature_dropout",
    "contiguous",
    "clone",
    "detach",
    "to",
    "float",
    "flip",
    "permute",
    "transpose",
    "clamp",
    "clamp_",
    "max_pool2d",
    "max_pool3d",
    "avg_pool2d",
    "avg_pool3d",
    "softmax",
    "clip",
    "neg",
    "abs",
    "exp",
    "pad",
    "constant_pad_nd",
    "clamp_min",
    "clamp_max",
    "upsample_nearest3d",
    "upsample_trilinear3d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
  };
  return names.count(name) > 0;
}

/** Operators of two tensors, the second of which must not have a higher rank. */
bool
broadcasts(const std::string & name)
{
  static const std::set<std::string> names{ "add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_" };
  return names.count(name) > 0;
}

} // namespace

bool
PartialEvaluator::evaluateElements(Node & node, const std::string & name)
{
  const auto inputs = node.inputs();
  if (inputs.empty())
  {
    return false;
  }
  const Term first = m_Terms.count(inputs[0]) > 0 ? termOf(inputs[0]) : Term();
  if (!first.elements)
  {
    return false;
  }
  std::vector<Term> & terms = first.elements->terms;
  const auto          place = [&](std::size_t input, std::size_t beyond) -> std::optional<std::size_t> {
    const auto known = input < inputs.size() ? knownOf(inputs[input]) : std::nullopt;
    if (!known || !known->isInt())
    {
      return std::nullopt;
    }
    const auto size = static_cast<std::int64_t>(terms.size());
    const auto index = known->toInt() < 0 ? known->toInt() + size : known->toInt();
    if (index < 0 || index >= size + static_cast<std::int64_t>(beyond))
    {
      throw NotPlain{ "a list is too short" };
    }
    return static_cast<std::size_t>(index);
  };
  const auto changed = [&]() -> std::vector<Term> & {
    if (first.elements->isAttribute)
    {
      throw NotPlain{ "a list of the module is changed" };
    }
    return terms;
  };
  if (node.kind() == c10::prim::ListUnpack || node.kind() == c10::prim::TupleUnpack)
  {
    if (terms.size() != node.outputs().size())
    {
      throw NotPlain{ "a list has another length" };
    }
    for (std::size_t i = 0; i < terms.size(); ++i)
    {
      set(node.outputs()[i], terms[i]);
    }
    return true;
  }
  if (name == "aten::__getitem__" || node.kind() == c10::prim::TupleIndex)
  {
    if (const auto index = place(1, 0))
    {
      set(node.output(), terms[*index]);
      return true;
    }
    return false;
  }
  if (name == "aten::len")
  {
    set(node.output(), Term::of(static_cast<std::int64_t>(terms.size())));
    return true;
  }
  if (name == "aten::append")
  {
    changed().push_back(termOf(inputs[1]));
    set(node.output(), first);
    return true;
  }
  if (name == "aten::_set_item" || name == "aten::insert")
  {
    const bool isNew = name == "aten::insert";
    if (const auto index = place(1, isNew ? 1 : 0))
    {
      if (isNew)
      {
        changed().insert(terms.begin() + static_cast<std::ptrdiff_t>(*index), termOf(inputs[2]));
      }
      else
      {
        changed()[*index] = termOf(inputs[2]);
      }
      if (!node.outputs().empty())
      {
        set(node.output(), first);
      }
      return true;
    }
    return false;
  }
  if (name == "aten::pop")
  {
    if (const auto index = place(1, 0))
    {
      const auto taken = changed().begin() + static_cast<std::ptrdiff_t>(*index);
      set(node.output(), *taken);
      terms.erase(taken);
      return true;
    }
    return false;
  }
  if (name == "aten::extend" || name == "aten::add_" || name == "aten::add")
  {
    const Term second = termOf(inputs[1]);
    if (!second.elements)
    {
      return false;
    }
    const std::vector<Term> more = second.elements->terms;
    Term                    whole = first;
    if (name == "aten::add")
    {
      whole.elements = std::make_shared<TermElements>(*first.elements);
      whole.elements->isAttribute = false;
    }
    else
    {
      changed();
    }
    if (first.elements->terms.size() + more.size() > most)
    {
      throw NotPlain{ "a list is too long" };
    }
    whole.elements->terms.insert(whole.elements->terms.end(), more.begin(), more.end());
    if (!node.outputs().empty())
    {
      set(node.output(), whole);
    }
    return true;
  }
  if (name == "aten::list" || name == "aten::reverse")
  {
    if (name == "aten::reverse")
    {
      std::reverse(changed().begin(), changed().end());
      return true;
    }
    Term copy;
    copy.elements = std::make_shared<TermElements>(*first.elements);
    copy.elements->isAttribute = false;
    set(node.output(), std::move(copy));
    return true;
  }
  return false;
}

bool
PartialEvaluator::evaluateFacts(Node & node, const std::string & name)
{
  if (node.inputs().empty() || node.outputs().size() != 1)
  {
    return false;
  }
  const auto known = [&](c10::IValue value) {
    set(node.output(), Term::of(std::move(value)));
    return true;
  };
  const Term first = termOf(node.inputs()[0]);
  if ((name == "aten::__is__" || name == "aten::__isnot__") && node.inputs().size() == 2)
  {
    const Term second = termOf(node.inputs()[1]);
    const auto isNone = [](const Term & term) { return term.known && term.known->isNone(); };
    const auto isSome = [](const Term & term) {
      return term.elements || (term.known && !term.known->isNone()) ||
             (term.value && term.value->type()->kind() != c10::TypeKind::OptionalType);
    };
    if ((isNone(first) && isSome(second)) || (isSome(first) && isNone(second)))
    {
      return known(name == "aten::__isnot__");
    }
    return false;
  }
  if (!first.value || first.rank < 0)
  {
    return false;
  }
  if (name == "aten::dim")
  {
    return known(static_cast<std::int64_t>(first.rank));
  }
  if (name == "aten::size" && node.inputs().size() == 1)
  {
    Term sizes;
    sizes.elements = std::make_shared<TermElements>();
    sizes.elements->type = c10::ListType::ofInts();
    for (int axis = 0; axis < first.rank; ++axis)
    {
      Term size;
      size.value = m_Plain->insert(c10::aten::size, { first.value, static_cast<std::int64_t>(axis) });
      sizes.elements->terms.push_back(size);
    }
    set(node.output(), std::move(sizes));
    return true;
  }
  return false;
}

int
PartialEvaluator::rankOf(const Node & node) const
{
  const std::string name = node.kind().toUnqualString();
  if (node.inputs().empty() || std::string(node.kind().ns().toUnqualString()) != "aten")
  {
    return -1;
  }
  const Term first = termOf(node.inputs()[0]);
  if (keepsRank(name))
  {
    return first.rank;
  }
  if (name == "cat" && first.elements && !first.elements->terms.empty())
  {
    return first.elements->terms.front().rank;
  }
  if (name == "select")
  {
    return first.rank > 0 ? first.rank - 1 : -1;
  }
  if (broadcasts(name))
  {
    const Term second = termOf(node.inputs()[1]);
    const int  other = second.value               ? second.rank
                       : !second.known            ? -1
                       : second.known->isTensor() ? static_cast<int>(second.known->toTensor().dim())
                                                  : 0;
    const int  own = first.value                              ? first.rank
                     : first.known && first.known->isTensor() ? static_cast<int>(first.known->toTensor().dim())
                                                              : -1;
    return other < 0 || own < 0 ? -1 : std::max(own, other);
  }
  return -1;
}

} // namespace impact
