#include "impact/api/model_prints.h"

#include "impact/base/text.h"

#include <torch/csrc/jit/runtime/print_handler.h>

#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

namespace impact
{

void
markPrints()
{
  static std::mutex mutex;
  static int        left = 200;
  torch::jit::setPrintHandler([](const std::string & text) {
    const std::lock_guard<std::mutex> lock(mutex);
    std::istringstream                lines(asUtf8(text));
    for (std::string line; left > 0 && std::getline(lines, line);)
    {
      --left;
      std::cout << "Model prints: " << (left > 0 ? firstLineOf(line) : "more, which is left out") << std::endl;
    }
  });
}

} // namespace impact
