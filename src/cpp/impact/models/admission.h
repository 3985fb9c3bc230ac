#pragma once

#include "impact/runtime/torch_headers.h"

#include <string>

namespace impact
{

/** Opens a TorchScript file of anyone's, and lets no file in that could end or hang the process, or compute with what
 * is not in it: pipes and folders, damaged archives (archive_check.h), weights that are not there (archive_weights.h),
 * all before torch sees them; loops without end (time_limit.h) and remainders of division by zero are rewritten in its
 * code (torchscript_graph.h). It comes ready for the device, in evaluation mode.
 *
 * \param mixedPrecision whether torch may compute in half precision where it finds that safe
 * \throws ParameterError of ModelsPath naming the file and what to do */
torch::jit::Module admitted(const std::string & path, at::Device device, bool mixedPrecision);

} // namespace impact
