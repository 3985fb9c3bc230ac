#include "impact/models/plain_graph.h"

#include "impact/runtime/torch_messages.h"

#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace impact
{
namespace
{

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

/** Thrown where a network has no plain form that is found here. */
struct NotPlain
{
  std::string reason;
};

struct Elements;

/** What is known of a value: what it is, of which elements it consists, or which value of the plain graph it is. */
struct Term
{
  std::optional<c10::IValue> known;
  std::shared_ptr<Elements>  elements; // of a list or a tuple; shared by all that would change the same list
  Value *                    value{ nullptr };
  int                        rank{ -1 }; // of a tensor of the plain graph, where that is known
};

struct Elements
{
  std::vector<Term> terms;
  c10::TypePtr      type;
  bool              isAttribute{ false }; // an attribute, which must not be changed
};

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

class Evaluator
{
public:
  explicit Evaluator(std::shared_ptr<Graph> plain)
    : m_Plain(std::move(plain))
  {}

  void
  set(const Value * value, Term term)
  {
    m_Terms[value] = std::move(term);
  }

  Term
  termOf(const Value * value) const
  {
    const auto found = m_Terms.find(value);
    if (found == m_Terms.end())
    {
      throw NotPlain{ "a value from nowhere" };
    }
    return found->second;
  }

  void
  evaluate(Block & block)
  {
    for (Node * const node : block.nodes())
    {
      evaluate(*node);
    }
  }

  /** The value of the plain graph for a term. */
  Value *
  valueOf(const Term & term)
  {
    if (term.value)
    {
      return term.value;
    }
    if (term.elements)
    {
      const Elements & elements = *term.elements;
      if (const auto whole = ivalueOf(term))
      {
        if (const auto constant = torch::jit::tryInsertConstant(*m_Plain, *whole))
        {
          keepAsOwned(*whole);
          return *constant;
        }
      }
      std::vector<Value *> values;
      for (const Term & element : elements.terms)
      {
        values.push_back(valueOf(element));
      }
      Node * const made = elements.type->kind() == c10::TypeKind::TupleType
                            ? m_Plain->createTuple(values)
                            : m_Plain->createList(elements.type->expectRef<c10::ListType>().getElementType(), values);
      return m_Plain->insertNode(made)->output();
    }
    const auto constant = torch::jit::tryInsertConstant(*m_Plain, withoutGradient(*term.known));
    keepAsOwned(*term.known);
    if (!constant)
    {
      throw NotPlain{ "an operator takes " + term.known->tagKind() };
    }
    return *constant;
  }

  /** A value from outside the plain graph as a term: lists and tuples element by element. */
  static Term
  termFrom(const c10::IValue & value, const c10::TypePtr & type, bool isAttribute)
  {
    Term term;
    if (value.isList() && type->kind() == c10::TypeKind::ListType)
    {
      term.elements = std::make_shared<Elements>();
      term.elements->type = type;
      term.elements->isAttribute = isAttribute;
      for (const c10::IValue & element : value.toListRef())
      {
        term.elements->terms.push_back(
          termFrom(element, type->expectRef<c10::ListType>().getElementType(), isAttribute));
      }
    }
    else if (value.isTuple() && type->kind() == c10::TypeKind::TupleType)
    {
      term.elements = std::make_shared<Elements>();
      term.elements->type = type;
      const auto & types = type->expectRef<c10::TupleType>().elements();
      for (std::size_t i = 0; i < types.size(); ++i)
      {
        term.elements->terms.push_back(termFrom(value.toTupleRef().elements()[i], types[i], isAttribute));
      }
    }
    else
    {
      term.known = value;
    }
    return term;
  }

private:
  static constexpr int mostNodes = 200000;

  static c10::IValue
  withoutGradient(const c10::IValue & value)
  {
    return value.isTensor() && value.toTensor().defined() ? c10::IValue(value.toTensor().detach()) : value;
  }

  /** What a term is, where all of it is known. */
  static std::optional<c10::IValue>
  ivalueOf(const Term & term)
  {
    if (!term.elements)
    {
      return term.known;
    }
    std::vector<c10::IValue> values;
    for (const Term & element : term.elements->terms)
    {
      auto value = ivalueOf(element);
      if (!value)
      {
        return std::nullopt;
      }
      values.push_back(std::move(*value));
    }
    if (term.elements->type->kind() == c10::TypeKind::TupleType)
    {
      return c10::IValue(c10::ivalue::Tuple::create(std::move(values)));
    }
    c10::impl::GenericList list(term.elements->type->expectRef<c10::ListType>().getElementType());
    for (c10::IValue & value : values)
    {
      list.push_back(std::move(value));
    }
    return c10::IValue(list);
  }

  std::optional<c10::IValue>
  knownOf(const Value * value) const
  {
    return ivalueOf(termOf(value));
  }

  /** From now on nothing may change it: the module has it, or the plain graph does. */
  void
  keepAsOwned(const c10::IValue & value)
  {
    if (value.isTensor() && value.toTensor().defined() && value.toTensor().has_storage())
    {
      m_Owned.insert(value.toTensor().storage().unsafeGetStorageImpl());
    }
    else if (value.isList())
    {
      for (const c10::IValue & element : value.toListRef())
      {
        keepAsOwned(element);
      }
    }
  }

  void
  evaluate(Node & node)
  {
    if (++m_Nodes > mostNodes)
    {
      throw NotPlain{ "too many operations" };
    }
    const std::string name = node.kind().toQualString();
    if (node.kind() == c10::prim::Constant)
    {
      const auto value = torch::jit::toIValue(node.output());
      if (!value)
      {
        return; // a function that has been opened
      }
      keepAsOwned(*value);
      set(node.output(), termFrom(*value, node.output()->type(), true));
    }
    else if (node.kind() == c10::prim::GetAttr)
    {
      const auto object = knownOf(node.input());
      if (!object || !object->isObject())
      {
        throw NotPlain{ "an attribute of what is not known" };
      }
      const c10::IValue value = object->toObjectRef().getAttr(node.s(c10::attr::name));
      keepAsOwned(value);
      set(node.output(), termFrom(value, node.output()->type(), true));
    }
    else if (node.kind() == c10::prim::ListConstruct || node.kind() == c10::prim::TupleConstruct)
    {
      Term term;
      term.elements = std::make_shared<Elements>();
      term.elements->type = node.output()->type();
      for (const Value * const input : node.inputs())
      {
        term.elements->terms.push_back(termOf(input));
      }
      set(node.output(), std::move(term));
    }
    else if (node.kind() == c10::prim::Uninitialized)
    {
      set(node.output(), Term{ c10::IValue(), nullptr, nullptr, -1 });
    }
    else if (node.kind() == c10::prim::unchecked_cast || node.kind() == c10::prim::unchecked_unwrap_optional ||
             name == "aten::_unwrap_optional")
    {
      set(node.output(), termOf(node.input()));
    }
    else if (node.kind() == c10::prim::If)
    {
      evaluateIf(node);
    }
    else if (node.kind() == c10::prim::Loop)
    {
      evaluateLoop(node);
    }
    else if (!evaluateElements(node, name) && !evaluateFacts(node, name) && !run(node, name))
    {
      keep(node);
    }
  }

  void
  evaluateIf(Node & node)
  {
    const auto condition = knownOf(node.input());
    if (!condition)
    {
      keep(node);
      return;
    }
    Block & block = *node.blocks()[condition->toBool() ? 0 : 1];
    evaluate(block);
    for (std::size_t i = 0; i < node.outputs().size(); ++i)
    {
      set(node.outputs()[i], termOf(block.outputs()[i]));
    }
  }

  /** (trips, whether to begin, carried...); its block: (number, carried...) -> (whether to go on, carried...) */
  void
  evaluateLoop(Node & node)
  {
    const auto trips = knownOf(node.inputs()[0]);
    auto       goOn = knownOf(node.inputs()[1]);
    if (!trips || !goOn)
    {
      keep(node);
      return;
    }
    Block &           block = *node.blocks()[0];
    std::vector<Term> carried;
    for (std::size_t i = 2; i < node.inputs().size(); ++i)
    {
      carried.push_back(termOf(node.inputs()[i]));
    }
    for (std::int64_t number = 0; number < trips->toInt() && goOn->toBool(); ++number)
    {
      set(block.inputs()[0], Term{ c10::IValue(number), nullptr, nullptr, -1 });
      for (std::size_t i = 0; i < carried.size(); ++i)
      {
        set(block.inputs()[i + 1], carried[i]);
      }
      evaluate(block);
      goOn = knownOf(block.outputs()[0]);
      if (!goOn)
      {
        throw NotPlain{ "a loop ends when the image says so" };
      }
      for (std::size_t i = 0; i < carried.size(); ++i)
      {
        carried[i] = termOf(block.outputs()[i + 1]);
      }
    }
    for (std::size_t i = 0; i < carried.size(); ++i)
    {
      set(node.outputs()[i], carried[i]);
    }
  }

  /** What is done with lists and tuples whose elements need not be known. \return whether it was that */
  bool
  evaluateElements(Node & node, const std::string & name)
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
      set(node.output(), Term{ c10::IValue(static_cast<std::int64_t>(terms.size())), nullptr, nullptr, -1 });
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
        whole.elements = std::make_shared<Elements>(*first.elements);
        whole.elements->isAttribute = false;
      }
      else
      {
        changed();
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
      copy.elements = std::make_shared<Elements>(*first.elements);
      copy.elements->isAttribute = false;
      set(node.output(), std::move(copy));
      return true;
    }
    return false;
  }

  /** What is known of a tensor although the tensor is not. \return whether it was that */
  bool
  evaluateFacts(Node & node, const std::string & name)
  {
    if (node.inputs().empty() || node.outputs().size() != 1)
    {
      return false;
    }
    const auto known = [&](c10::IValue value) {
      set(node.output(), Term{ std::move(value), nullptr, nullptr, -1 });
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
      sizes.elements = std::make_shared<Elements>();
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

  /** Runs a node whose inputs are all known. \return whether it was run */
  bool
  run(Node & node, const std::string & name)
  {
    const auto * const schema = node.maybeSchema();
    if (!node.blocks().empty() || !schema || !node.maybeOperator() || node.isNondeterministic())
    {
      return false;
    }
    if (node.inputs().empty() && !node.outputs().empty())
    {
      return false; // it asks for what is so at the time, such as whether gradients are wanted
    }
    torch::jit::Stack stack;
    for (const Value * const input : node.inputs())
    {
      auto value = knownOf(input);
      if (!value)
      {
        return false;
      }
      stack.push_back(std::move(*value));
    }
    if (node.kind() == c10::prim::RaiseException)
    {
      throw NotPlain{ "it raises an exception" };
    }
    if (node.hasSideEffects() && !schema->is_mutable() && !node.outputs().empty())
    {
      return false; // prints, and the like
    }
    // What belongs to the module must stay as it is.
    const torch::jit::Stack given = stack;
    for (std::size_t i = 0; i < given.size() && i < schema->arguments().size(); ++i)
    {
      const auto * const alias = schema->arguments()[i].alias_info();
      if (alias && alias->isWrite())
      {
        const Term & term = termOf(node.inputs()[i]);
        const bool isOwned = term.elements ? term.elements->isAttribute
                                           : !given[i].isTensor() ||
                                               m_Owned.count(given[i].toTensor().storage().unsafeGetStorageImpl()) > 0;
        if (isOwned)
        {
          throw NotPlain{ "what belongs to the module is changed by " + name };
        }
      }
    }
    auto operation = node.getOperation();
    operation(stack);
    for (std::size_t i = 0; i < given.size(); ++i)
    {
      const Term term = termOf(node.inputs()[i]);
      if (term.elements && given[i].isList() && schema->is_mutable())
      {
        term.elements->terms = termFrom(given[i], node.inputs()[i]->type(), false).elements->terms;
      }
    }
    if (stack.size() != node.outputs().size())
    {
      throw NotPlain{ name + " has other results" };
    }
    for (std::size_t i = 0; i < stack.size(); ++i)
    {
      set(node.outputs()[i], termFrom(stack[i], node.outputs()[i]->type(), false));
    }
    return true;
  }

  /** Whether something inside a block changes a value from outside that is not one of the plain graph. */
  bool
  changesKnown(const Block & block) const
  {
    for (const Node * const node : block.nodes())
    {
      for (const Block * const inner : node->blocks())
      {
        if (changesKnown(*inner))
        {
          return true;
        }
      }
      const auto * const schema = node->maybeSchema();
      if (node->kind() == c10::prim::SetAttr)
      {
        return true;
      }
      for (std::size_t i = 0; schema && schema->is_mutable() && i < node->inputs().size(); ++i)
      {
        const auto found = m_Terms.find(node->inputs()[i]);
        if (found != m_Terms.end() && !found->second.value)
        {
          return true;
        }
      }
    }
    return false;
  }

  /** A node that depends on the image goes into the plain graph. */
  void
  keep(Node & node)
  {
    for (const Block * const block : node.blocks())
    {
      if (changesKnown(*block))
      {
        throw NotPlain{ "a branch that depends on the image changes a list" };
      }
    }
    const auto * const schema = node.maybeSchema();
    if (node.kind() == c10::prim::SetAttr || node.kind() == c10::prim::fork || node.kind() == c10::prim::CallMethod ||
        node.kind() == c10::prim::CallFunction)
    {
      throw NotPlain{ std::string("it has ") + node.kind().toQualString() };
    }
    for (std::size_t i = 0; schema && i < node.inputs().size() && i < schema->arguments().size(); ++i)
    {
      const auto * const alias = schema->arguments()[i].alias_info();
      if (alias && alias->isWrite() && !termOf(node.inputs()[i]).value)
      {
        throw NotPlain{ std::string("a constant is changed by ") + node.kind().toQualString() };
      }
    }
    const auto   valueFor = [this](Value * value) { return valueOf(termOf(value)); };
    Node * const kept = m_Plain->createClone(&node, valueFor);
    m_Plain->insertNode(kept);
    for (std::size_t i = 0; i < node.outputs().size(); ++i)
    {
      Term term;
      term.value = kept->outputs()[i];
      set(node.outputs()[i], term);
    }
    if (node.outputs().size() == 1 && node.output()->type()->kind() == c10::TypeKind::TensorType)
    {
      Term term = termOf(node.output());
      term.rank = rankOf(node);
      set(node.output(), term);
    }
  }

  /** The rank of a kept node's tensor; -1: not known. */
  int
  rankOf(const Node & node) const
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

  std::shared_ptr<Graph>                  m_Plain;
  std::unordered_map<const Value *, Term> m_Terms;
  std::unordered_set<const void *>        m_Owned; // storages of what belongs to the module
  int                                     m_Nodes{ 0 };
};

/** The layers in what forward() returns. */
std::vector<Term>
layersOf(const Term & result)
{
  if (result.elements)
  {
    return result.elements->terms;
  }
  if (!result.value || result.value->type()->kind() != c10::TypeKind::TensorType)
  {
    throw NotPlain{ "it does not give a list of a known length" };
  }
  return { result };
}

/** Whether a node does nothing but look, and complain: it has no result, and changes nothing. */
bool
isCheck(const Node & node)
{
  const auto changes = [](const Block & block, const auto & self) -> bool {
    for (const Node * const inner : block.nodes())
    {
      const auto * const schema = inner->maybeSchema();
      if ((schema && schema->is_mutable()) || std::any_of(inner->blocks().begin(),
                                                          inner->blocks().end(),
                                                          [&](const Block * part) { return self(*part, self); }))
      {
        return true;
      }
    }
    return false;
  };
  const auto blocks = node.blocks();
  return node.outputs().empty() &&
         (node.kind() == c10::aten::warn ||
          (node.kind() == c10::prim::If &&
           std::none_of(blocks.begin(), blocks.end(), [&](const Block * part) { return changes(*part, changes); })));
}

/** The values that a node takes from outside: its inputs, and what its blocks look at. */
void
forEachTaken(const Node & node, const std::function<void(const Value *)> & action)
{
  for (const Value * const input : node.inputs())
  {
    action(input);
  }
  for (const Block * const block : node.blocks())
  {
    for (const Node * const inner : block->nodes())
    {
      forEachTaken(*inner, action);
    }
    for (const Value * const output : block->outputs())
    {
      action(output);
    }
  }
}

std::shared_ptr<Graph>
evaluated(const torch::jit::Module & module, const PlainRequest & request)
{
  const auto graph = torch::jit::toGraphFunction(module.get_method("forward").function()).graph()->copy();
  torch::jit::Inline(*graph);
  const auto plain = std::make_shared<Graph>();
  Evaluator  evaluator(plain);
  evaluator.set(graph->inputs()[0], Term{ c10::IValue(module._ivalue()), nullptr, nullptr, -1 });
  const auto variable = [&](std::size_t input, int rank) {
    Value * const value = plain->addInput();
    value->setType(c10::TensorType::get());
    evaluator.set(graph->inputs()[input], Term{ std::nullopt, nullptr, value, rank });
  };
  variable(1, request.rank);
  const auto & arguments = module.get_method("forward").function().getSchema().arguments();
  for (std::size_t i = 2; i < graph->inputs().size(); ++i)
  {
    const bool isGiven = i - 2 < request.arguments.size();
    if (isGiven && !request.arguments[i - 2])
    {
      variable(i, 1);
      continue;
    }
    const auto value = isGiven ? request.arguments[i - 2] : arguments[i].default_value();
    if (!value)
    {
      throw NotPlain{ "an argument is not given" };
    }
    evaluator.set(graph->inputs()[i], Evaluator::termFrom(*value, arguments[i].type(), true));
  }
  const at::NoGradGuard noGradients;
  evaluator.evaluate(*graph->block());
  const std::vector<Term> layers = layersOf(evaluator.termOf(graph->outputs()[0]));
  std::vector<Value *>    wanted;
  if (request.exactly && layers.size() != request.layers.size())
  {
    throw NotPlain{ "it gives " + std::to_string(layers.size()) + " layers" };
  }
  for (std::size_t i = 0; i < request.layers.size(); ++i)
  {
    if (request.layers[i])
    {
      if (i >= layers.size())
      {
        throw NotPlain{ "it gives " + std::to_string(layers.size()) + " layers" };
      }
      wanted.push_back(evaluator.valueOf(layers[i]));
    }
  }
  plain->registerOutput(plain->insertNode(plain->createTuple(wanted))->output());
  keepWhatIsNeeded(plain);
  return plain;
}

} // namespace

void
keepWhatIsNeeded(const std::shared_ptr<Graph> & whole)
{
  Graph & graph = *whole;
  // All nodes behind some values, as far as a function says to look on.
  const auto behind = [&graph](std::vector<const Value *> values, const std::function<bool(const Value *)> & lookOn) {
    std::unordered_set<const Node *> nodes;
    while (!values.empty())
    {
      const Value * const value = values.back();
      values.pop_back();
      if (value->node()->owningBlock() == graph.block() && lookOn(value) && nodes.insert(value->node()).second)
      {
        forEachTaken(*value->node(), [&](const Value * taken) { values.push_back(taken); });
      }
    }
    return nodes;
  };
  const auto outputs = graph.outputs();
  const auto needed = behind({ outputs.begin(), outputs.end() }, [](const Value *) { return true; });

  std::vector<Node *> needless;
  for (Node * const node : graph.nodes())
  {
    std::vector<const Value *> taken;
    if (isCheck(*node))
    {
      forEachTaken(*node, [&](const Value * value) { taken.push_back(value); });
    }
    // What it looks at, through numbers, down to tensors.
    bool all = true;
    behind(taken, [&](const Value * value) {
      const bool isTensor = value->type()->kind() == c10::TypeKind::TensorType;
      all = all && (!isTensor || needed.count(value->node()) > 0 || value->node()->kind() == c10::prim::Param);
      return !isTensor;
    });
    if (!all)
    {
      needless.push_back(node);
    }
  }
  std::for_each(needless.begin(), needless.end(), [](Node * node) { node->destroy(); });
  torch::jit::EliminateDeadCode(whole);
}

std::shared_ptr<Graph>
plainGraph(const torch::jit::Module & module, const PlainRequest & request, std::string * why)
{
  std::string reason;
  try
  {
    return evaluated(module, request);
  }
  catch (const NotPlain & notPlain)
  {
    reason = notPlain.reason;
  }
  catch (const std::exception & error)
  {
    reason = firstLine(error); // of an operator that refuses its arguments
  }
  if (why)
  {
    *why = reason;
  }
  return nullptr;
}

} // namespace impact
