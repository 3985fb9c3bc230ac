#include "impact/runtime/torch_tasks.h"

#include "impact/runtime/torch_headers.h"

#include <algorithm>
#include <thread>

namespace impact
{

void
torchInParallel(std::int64_t count, const Workers::Task & task)
{
  const bool            withGradients = at::GradMode::is_enabled();
  const std::thread::id caller = std::this_thread::get_id();
  inParallel(count, [&](std::int64_t number) {
    static thread_local bool isReady = false;
    if (!isReady && std::this_thread::get_id() != caller)
    {
      at::set_num_threads(1); // of this thread; new threads' number is put back with the caller's (TorchScope)
      isReady = true;
    }
    const at::AutoGradMode gradients(withGradients);
    task(number);
  });
}

void
torchInPieces(std::int64_t                                                         items,
              std::int64_t                                                         perPiece,
              const std::function<void(std::int64_t first, std::int64_t number)> & function)
{
  torchInParallel((items + perPiece - 1) / perPiece, [&](std::int64_t piece) {
    const std::int64_t first = piece * perPiece;
    function(first, std::min(perPiece, items - first));
  });
}

} // namespace impact
