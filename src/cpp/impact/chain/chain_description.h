#pragma once

#include "impact/runtime/torch_headers.h"

#include <array>
#include <optional>
#include <vector>

namespace impact
{

/** A convolution with what follows it up to the next one: normalisation and leaky rectifier. */
struct ChainUnit
{
  enum class Normalization
  {
    None,
    Fixed,   // scale and shift per channel
    Instance // by mean and deviation of each channel over its volume
  };

  at::Tensor                  weight;            // out x in x (z) x y x x, float
  at::Tensor                  bias;              // out, float; undefined: none
  std::array<std::int64_t, 3> kernel{ 1, 1, 1 }; // along x, y, z, as all that follow
  std::array<std::int64_t, 3> stride{ 1, 1, 1 };
  std::array<std::int64_t, 3> padding{ 0, 0, 0 };
  std::array<std::int64_t, 3> dilation{ 1, 1, 1 };
  Normalization               normalization{ Normalization::None };
  at::Tensor                  scale; // out, double; Fixed and Instance
  at::Tensor                  shift;
  double                      epsilon{ 0.0 };
  double                      slope{ 1.0 }; // of the rectifier's negative side; 1: no rectifier
};

/** The part of a network that makes some of its layers, where that is a chain: the encoders of the nnU-Net family. */
struct ChainDescription
{
  std::vector<ChainUnit>   units;
  std::vector<std::size_t> outputs; // for each selected layer, the unit that ends with it
};

/** Reads a chain out of a TorchScript module.
 *
 * \param numberOfLayersArgument which argument of forward() is the number of layers, counted from the image's 0; 0:
 * none
 * \param mask which of the layers are wanted
 * \return nothing where the network is anything but a chain of convolutions (2D or 3D, without groups), instance or
 * batch normalisation and rectifiers; nothing is thrown */
std::optional<ChainDescription>
readChain(const torch::jit::Module & module, std::size_t numberOfLayersArgument, const std::vector<bool> & mask);

} // namespace impact
