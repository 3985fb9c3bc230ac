#pragma once

#include "torch_headers.h"

namespace impact
{

/** A model traced or scripted for a GPU names that GPU wherever it makes a tensor: these places get our device. */
void moveDeviceConstants(torch::jit::Block & block, at::Device device);

/** Whether a graph turns tensors into half precision by itself, so that its weights must stay in it. */
bool convertsToHalf(torch::jit::Block & block);

/** Traced convolutions have torch's switch for TF32, 10 bits of mantissa, as it was when they were traced: off. */
void convolveInSinglePrecision(torch::jit::Block & block);

} // namespace impact
