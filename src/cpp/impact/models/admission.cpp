#include "impact/models/admission.h"

#include "impact/base/error.h"
#include "impact/base/text.h"
#include "impact/models/archive_check.h"
#include "impact/models/archive_weights.h"
#include "impact/models/torchscript_graph.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_messages.h"

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <filesystem>
#include <fstream>
#include <optional>

namespace impact
{
namespace
{

/** Rewrites what the code may not do, and puts the weights into the precision that is computed in. */
void
makeReady(torch::jit::Module & module, at::Device device, bool mixedPrecision)
{
  module.eval();
  // Half precision is for storage: gradients on their way back would underflow in it.
  bool asksForHalf = false;
  for (const torch::jit::Module & part : module.modules())
  {
    for (const torch::jit::Method & method : part.get_methods())
    {
      torch::jit::Block & block = *torch::jit::toGraphFunction(method.function()).graph()->block();
      moveDeviceConstants(block, device);
      loopsAskForTime(block);
      takeRemaindersSafely(block);
      if (!device.is_cpu() && !mixedPrecision)
      {
        convolveInSinglePrecision(block);
      }
      asksForHalf = asksForHalf || convertsToHalf(block);
    }
  }
  bool isHalf = false;
  for (const at::Tensor & parameter : module.parameters())
  {
    isHalf = isHalf || parameter.scalar_type() == at::kHalf;
  }
  if (isHalf && !asksForHalf)
  {
    module.to(at::kFloat);
  }
  for (at::Tensor parameter : module.parameters())
  {
    parameter.set_requires_grad(false);
  }
  // Torch keeps the simplified graphs of functions, also of those that many modules call, as they are first wanted: by
  // a run, not simplified at all. A chain is read from them, whenever it is wanted, so they are made now.
  const torch::jit::GraphOptimizerEnabledGuard simplified(true);
  torch::jit::toGraphFunction(module.get_method("forward").function()).optimized_graph();
}

} // namespace

torch::jit::Module
admitted(const std::string & path, at::Device device, bool mixedPrecision)
{
  const std::string advice = "Give the path of a TorchScript file (torch.jit.save), absolute or relative to the "
                             "current folder; impact_plugin.models.mind() writes one.";
  std::error_code   ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored) &&
      !std::filesystem::is_regular_file(path, ignored))
  {
    // Reading a pipe or a device may never end.
    throw ParameterError("ModelsPath", "\"" + path + "\" is a pipe or a device, and no file.", advice);
  }
  {
    std::ifstream file(path, std::ios::binary);
    char          byte{};
    if (!file)
    {
      throw ParameterError(
        "ModelsPath", "file \"" + path + "\" does not exist or cannot be read.", advice, Problem::Kind::MissingFile);
    }
    if (!file.get(byte))
    {
      throw ParameterError("ModelsPath", "file \"" + path + "\" is empty or a folder.", advice);
    }
  }
  const auto refuseDamage = [&](const std::optional<std::string> & damage) {
    if (damage)
    {
      throw ParameterError(
        "ModelsPath",
        "file \"" + path + "\" is not a TorchScript model that can be used, because it is damaged: " + asUtf8(*damage) +
          ". Fetch it again.",
        advice);
    }
  };
  refuseDamage(damageOf(path));
  try
  {
    // Before it is opened: code that runs then, and the way to a GPU, read weights already.
    refuseDamage(missingWeightsOf(path));
    torch::jit::Module module = torch::jit::load(path, device);
    makeReady(module, device, mixedPrecision);
    return module;
  }
  catch (const Error &)
  {
    throw;
  }
  catch (const std::exception & error)
  {
    if (isOutOfMemory(error))
    {
      throw outOfMemory(device, "the weights of model file \"" + path + "\"", path);
    }
    if (isDeviceFailure(error))
    {
      throw; // not the file's fault
    }
    throw ParameterError("ModelsPath",
                         "file \"" + path +
                           "\" is not a TorchScript model that this torch can open: " + firstLine(error),
                         advice);
  }
}

} // namespace impact
