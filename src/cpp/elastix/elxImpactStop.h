#ifndef elxImpactStop_h
#define elxImpactStop_h

#include "itkOptimizer.h"

namespace elastix
{

/** Whether whoever started this process wants the level to end with what it has: a file exists at the path that
 * the environment variable IMPACT_STOP_FILE gives. Without the variable: no. */
bool IsStopRequested();

/** Ends an optimization as its last iteration would. \return Whether the optimizer is of a kind that can. */
bool StopOptimizer(itk::Optimizer & optimizer);

} // namespace elastix

#endif
