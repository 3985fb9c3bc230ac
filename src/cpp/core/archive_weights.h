#pragma once

#include <optional>
#include <string>

namespace impact
{

/** What a TorchScript file says of its weights and does not have: torch, which opens such a file without a word, reads
 * on in the memory behind them. Its pickles are walked as torch does, and nothing is made of them; what torch.jit.save
 * never writes is damage, too. \return a part of a sentence; nothing where all is well
 * \throw c10::Error where the archive cannot be read, or a part of it is missing */
std::optional<std::string> missingWeightsOf(const std::string & path);

} // namespace impact
