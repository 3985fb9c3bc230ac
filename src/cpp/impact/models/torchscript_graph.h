#pragma once

#include "impact/runtime/torch_headers.h"

namespace impact
{

/** A traced model names the device that it was traced on, be it the CPU, wherever it makes a tensor: these places get
 * our device. */
void moveDeviceConstants(torch::jit::Block & block, at::Device device);

/** Whether a graph turns tensors into half precision by itself, so that its weights must stay in it. */
bool convertsToHalf(torch::jit::Block & block);

/** Traced convolutions have torch's switch for TF32, 10 bits of mantissa, as it was when they were traced: off. */
void convolveInSinglePrecision(torch::jit::Block & block);

/** Makes each turn of each loop ask whether time is up (TimeLimit). */
void loopsAskForTime(torch::jit::Block & block);

/** Remainders of whole numbers, which torch leaves to the processor, as what they are in terms of quotients: where the
 * divisor is zero those throw, and the processor would end the whole program. */
void takeRemaindersSafely(torch::jit::Block & block);

} // namespace impact
