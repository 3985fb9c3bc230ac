#pragma once

#include "impact/base/export.h"

#include <memory>

namespace impact
{

class ModelRepository;

/** The models of a registration, each file read once. */
using ModelRepositoryPointer = std::shared_ptr<ModelRepository>;
IMPACT_API ModelRepositoryPointer makeModelRepository();

} // namespace impact
