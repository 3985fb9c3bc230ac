#include "impact/models/operators_in_pieces.h"

#include "impact/models/piece_rules.h"
#include <torch/csrc/jit/passes/inliner.h>

#include <mutex>
#include <set>
#include <sstream>

namespace impact
{
namespace
{

thread_local bool wanted = false;

/** The operator in pieces for one of torch's, made where there is none yet. This library may be in the process twice:
 * the name has the place of this one's. */
c10::Symbol
operatorInPieces(const torch::jit::Node & node, PieceRule rule)
{
  static std::mutex            mutex;
  static std::set<std::string> made;

  static const char           ours = 0;
  const c10::FunctionSchema & schema = node.schema();
  std::ostringstream          name;
  name << "impact::" << node.kind().toUnqualString() << "_" << schema.overload_name() << "_in_pieces_" << std::hex
       << reinterpret_cast<std::uintptr_t>(&ours);
  const std::lock_guard<std::mutex> lock(mutex);
  if (made.insert(name.str()).second)
  {
    const std::size_t count = schema.arguments().size();
    const auto operation = std::make_shared<torch::jit::Operation>(node.getOperation()); // whose calls are not const
    std::ostringstream text;
    text << schema.cloneWithName(name.str(), "");
    torch::jit::registerOperator(torch::jit::Operator(
      text.str(),
      [count, operation, rule](torch::jit::Stack & stack) {
        const auto begin = stack.end() - static_cast<std::ptrdiff_t>(count);
        if (OperatorsInPieces::areWanted() && !at::GradMode::is_enabled() && isPlain(*begin))
        {
          if (auto result = rule(*operation, OperatorArguments(begin, stack.end())))
          {
            stack.erase(begin, stack.end());
            stack.emplace_back(*std::move(result));
            return;
          }
        }
        (*operation)(stack);
      },
      c10::AliasAnalysisKind::CONSERVATIVE));
  }
  return c10::Symbol::fromQualString(name.str());
}

void
replace(torch::jit::Block & block)
{
  std::vector<std::pair<torch::jit::Node *, PieceRule>> found;
  for (torch::jit::Node * const node : block.nodes())
  {
    for (torch::jit::Block * const inner : node->blocks())
    {
      replace(*inner);
    }
    const PieceRule rule = pieceRuleOf(node->kind().toQualString());
    if (rule && node->maybeSchema() && node->outputs().size() == 1)
    {
      found.emplace_back(node, rule);
    }
  }
  for (const auto & [node, rule] : found)
  {
    torch::jit::Node * const inPieces =
      block.owningGraph()->create(operatorInPieces(*node, rule), node->inputs(), 1)->insertBefore(node);
    inPieces->output()->copyMetadata(node->output());
    inPieces->setSourceRange(node->sourceRange());
    node->output()->replaceAllUsesWith(inPieces->output());
    node->destroy();
  }
}

} // namespace

torch::jit::Module
withOperatorsInPieces(const torch::jit::Module & module)
{
  torch::jit::Module result = module.clone(); // its weights are those of the other
  const auto         graph = torch::jit::toGraphFunction(result.get_method("forward").function()).graph();
  torch::jit::Inline(*graph); // functions are the other module's, too
  replace(*graph->block());
  return result;
}

void
runOperatorsInPieces(torch::jit::Graph & graph)
{
  replace(*graph.block());
}

OperatorsInPieces::OperatorsInPieces()
  : m_Before(wanted)
{
  wanted = true;
}

OperatorsInPieces::~OperatorsInPieces()
{
  wanted = m_Before;
}

bool
OperatorsInPieces::areWanted()
{
  return wanted;
}

} // namespace impact
