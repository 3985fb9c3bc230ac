#pragma once

#include <optional>
#include <string>

namespace impact
{

/** What weights a TorchScript file says that it has, and does not have: torch, which compares tensors with what the
 * file says alone, reads on in the memory behind those there are. Its pickles are followed as torch follows them, and
 * nothing is made of them; what torch.jit.save never writes is damage, too. \return a part of a sentence; nothing where
 * all is well \throw c10::Error where the archive cannot be read, or a part of it is missing */
std::optional<std::string> missingWeightsOf(const std::string & path);

} // namespace impact
