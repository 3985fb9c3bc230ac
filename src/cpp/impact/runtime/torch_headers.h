#pragma once

// Every torch header the core needs, in one place: it is precompiled.
#include <torch/csrc/autograd/autograd.h>
#include <torch/script.h>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>
