#pragma once

#include "impact/runtime/torch_headers.h"

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace impact
{

/** Thrown where a network has no plain form that is found. */
struct NotPlain
{
  std::string reason;
};

struct TermElements;

/** What is known of a value: what it is, of which elements it consists, or which value of the plain graph it is. */
struct Term
{
  std::optional<c10::IValue>    known;
  std::shared_ptr<TermElements> elements; // of a list or a tuple; shared by all that would change the same list
  torch::jit::Value *           value{ nullptr };
  int                           rank{ -1 }; // of a tensor of the plain graph, where that is known

  static Term
  of(c10::IValue value)
  {
    return { std::move(value), nullptr, nullptr, -1 };
  }
};

struct TermElements
{
  std::vector<Term> terms;
  c10::TypePtr      type;
  bool              isAttribute{ false }; // of the module, which must not be changed
};

/** Evaluates a graph as far as that can be done without its image: nodes whose inputs are known are run, by torch's own
 * operators, all others are kept in another graph, in order. */
class PartialEvaluator
{
public:
  explicit PartialEvaluator(std::shared_ptr<torch::jit::Graph> plain)
    : m_Plain(std::move(plain))
  {}

  void
  set(const torch::jit::Value * value, Term term)
  {
    m_Terms[value] = std::move(term);
  }

  Term termOf(const torch::jit::Value * value) const;

  /** \throws NotPlain; what an operator throws */
  void evaluate(torch::jit::Block & block);

  /** The value of the plain graph for a term. \throws NotPlain for what a graph has no constants of */
  torch::jit::Value * valueOf(const Term & term);

  /** A value from outside the plain graph as a term: lists and tuples element by element. */
  static Term termFrom(const c10::IValue & value, const c10::TypePtr & type, bool isAttribute);

private:
  static constexpr int most = 200000; // nodes, and elements of a list

  /** What a term is, where all of it is known. */
  static std::optional<c10::IValue> ivalueOf(const Term & term);

  std::optional<c10::IValue> knownOf(const torch::jit::Value * value) const;

  /** From now on nothing may change it: the module has it, or the plain graph does. */
  void keepAsOwned(const c10::IValue & value);

  void evaluate(torch::jit::Node & node);
  void evaluateIf(torch::jit::Node & node);

  /** (trips, whether to begin, carried...); its block: (number, carried...) -> (whether to go on, carried...) */
  void evaluateLoop(torch::jit::Node & node);

  /** What is done with lists and tuples whose elements need not be known. \return whether it was that */
  bool evaluateElements(torch::jit::Node & node, const std::string & name);

  /** What is known of a tensor although the tensor is not. \return whether it was that */
  bool evaluateFacts(torch::jit::Node & node, const std::string & name);

  /** Runs a node whose inputs are all known. \return whether it was run */
  bool run(torch::jit::Node & node, const std::string & name);

  /** Whether something inside a block changes a value from outside that is not one of the plain graph. */
  bool changesKnown(const torch::jit::Block & block) const;

  /** A node that depends on the image goes into the plain graph. */
  void keep(torch::jit::Node & node);

  /** The rank of a kept node's tensor; -1: not known. */
  int rankOf(const torch::jit::Node & node) const;

  std::shared_ptr<torch::jit::Graph>                  m_Plain;
  std::unordered_map<const torch::jit::Value *, Term> m_Terms;
  std::unordered_set<const void *>                    m_Owned; // storages
  int                                                 m_Nodes{ 0 };
};

} // namespace impact
