#include "impact/runtime/torch_messages.h"

#include "impact/base/text.h"

namespace impact
{

std::string
messageOf(const std::exception & error)
{
  const auto * const ofTorch = dynamic_cast<const c10::Error *>(&error);
  return ofTorch ? ofTorch->what_without_backtrace() : error.what();
}


std::string
shapeOf(const at::Tensor & tensor)
{
  std::string text;
  for (const auto size : tensor.sizes())
  {
    text += (text.empty() ? "" : " x ") + std::to_string(size);
  }
  return text.empty() ? "a single number" : text;
}


std::string
firstLine(const std::exception & error)
{
  // TorchScript puts the reason last, after the traceback of the model; plain torch errors put it first.
  const std::string text = error.what();
  std::string       reason = firstLineOf(text);
  for (const char * const marker : { "RuntimeError: ", "Error: " })
  {
    if (const auto place = text.rfind(marker); place != std::string::npos)
    {
      reason = firstLineOf(text.substr(place + std::string(marker).size()));
      break;
    }
  }
  if (!reason.empty() && reason.back() != '.')
  {
    reason += '.';
  }
  return reason;
}

} // namespace impact
