#pragma once

#include "impact/settings/settings.h"

namespace impact
{

/** Who does the arithmetic of an evaluation besides networks. Chosen once, where a level begins. */
enum class Engine
{
  Kernels, // our own, on the CPU alone
  Torch,   // torch's operations, on any device
};

/** Kernels wherever they can. */
inline Engine
engineOf(const LevelSettings & settings)
{
  return settings.gpu < 0 ? Engine::Kernels : Engine::Torch;
}

} // namespace impact
