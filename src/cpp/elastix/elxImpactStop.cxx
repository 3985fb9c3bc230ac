#include "elxImpactStop.h"

#include "StandardGradientDescent/itkGradientDescentOptimizer2.h"

#include <cstdlib>
#include <filesystem>

namespace elastix
{

bool
IsStopRequested()
{
  static const char * const path = std::getenv("IMPACT_STOP_FILE");
  std::error_code           ignored;
  return path != nullptr && std::filesystem::exists(path, ignored);
}


bool
StopOptimizer(itk::Optimizer & optimizer)
{
  // The base of elastix's (adaptive, stochastic, preconditioned) gradient descents. Other optimizers end by themselves.
  auto * const descent = dynamic_cast<itk::GradientDescentOptimizer2 *>(&optimizer);
  if (descent != nullptr)
  {
    descent->StopOptimization();
  }
  return descent != nullptr;
}

} // namespace elastix
