#include "impact/models/partial_evaluator.h"

namespace impact
{

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

namespace
{

c10::IValue
withoutGradient(const c10::IValue & value)
{
  return value.isTensor() && value.toTensor().defined() ? c10::IValue(value.toTensor().detach()) : value;
}

} // namespace

Term
PartialEvaluator::termOf(const Value * value) const
{
  const auto found = m_Terms.find(value);
  if (found == m_Terms.end())
  {
    throw NotPlain{ "a value from nowhere" };
  }
  return found->second;
}

void
PartialEvaluator::evaluate(Block & block)
{
  for (Node * const node : block.nodes())
  {
    evaluate(*node);
  }
}

Value *
PartialEvaluator::valueOf(const Term & term)
{
  if (term.value)
  {
    return term.value;
  }
  if (term.elements)
  {
    const TermElements & elements = *term.elements;
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

Term
PartialEvaluator::termFrom(const c10::IValue & value, const c10::TypePtr & type, bool isAttribute)
{
  Term term;
  if (value.isList() && type->kind() == c10::TypeKind::ListType)
  {
    term.elements = std::make_shared<TermElements>();
    term.elements->type = type;
    term.elements->isAttribute = isAttribute;
    for (const c10::IValue & element : value.toListRef())
    {
      term.elements->terms.push_back(termFrom(element, type->expectRef<c10::ListType>().getElementType(), isAttribute));
    }
  }
  else if (value.isTuple() && type->kind() == c10::TypeKind::TupleType)
  {
    term.elements = std::make_shared<TermElements>();
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

std::optional<c10::IValue>
PartialEvaluator::ivalueOf(const Term & term)
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
PartialEvaluator::knownOf(const Value * value) const
{
  return ivalueOf(termOf(value));
}

void
PartialEvaluator::keepAsOwned(const c10::IValue & value)
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
PartialEvaluator::evaluate(Node & node)
{
  if (++m_Nodes > most)
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
    term.elements = std::make_shared<TermElements>();
    term.elements->type = node.output()->type();
    for (const Value * const input : node.inputs())
    {
      term.elements->terms.push_back(termOf(input));
    }
    set(node.output(), std::move(term));
  }
  else if (node.kind() == c10::prim::Uninitialized)
  {
    set(node.output(), Term::of(c10::IValue()));
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
PartialEvaluator::evaluateIf(Node & node)
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

void
PartialEvaluator::evaluateLoop(Node & node)
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
    set(block.inputs()[0], Term::of(number));
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

bool
PartialEvaluator::run(Node & node, const std::string & name)
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
      const bool   isOwned =
        term.elements ? term.elements->isAttribute
                      : !given[i].isTensor() || m_Owned.count(given[i].toTensor().storage().unsafeGetStorageImpl()) > 0;
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

bool
PartialEvaluator::changesKnown(const Block & block) const
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

void
PartialEvaluator::keep(Node & node)
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

} // namespace impact
