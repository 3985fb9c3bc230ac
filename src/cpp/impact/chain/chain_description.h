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

/** A chain in a graph, and where it begins. */
struct FoundChain
{
  ChainDescription          description;
  const torch::jit::Value * begin; // what its first convolution sees: the image, or what was made of it before
  bool                      turns; // whether axes of its layers are turned before they are returned
};

/** Finds the chain of convolutions that makes all layers of a graph.
 *
 * \param graph of one network, plain (plain_graph.h): its inputs are the image and what varies with it, its output is a
 * tuple of layers
 * \return nothing where layers are made by anything but a chain of convolutions (2D or 3D, without groups), instance or
 * batch normalisation and rectifiers, and by turning axes; nothing is thrown */
std::optional<FoundChain> findChain(const torch::jit::Graph & graph);

/** A chain between two values of a graph: all that is between is looked at by nobody else. */
struct ChainSegment
{
  ChainDescription          description; // one layer, its last unit's
  const torch::jit::Value * begin;
  torch::jit::Value *       end;
};

/** The chains within a graph that our kernels are worth: with convolutions of 3 voxels in steps of one, and of one
 * channel or many. Nothing is thrown. */
std::vector<ChainSegment> findSegments(torch::jit::Graph & graph);

/** A transposed convolution that makes of each voxel a block of its own: its steps are as long as its kernel. */
struct FoundUpConvolution
{
  ChainUnit           unit; // weights in x out x (z) x y x x
  torch::jit::Value * end;
};

/** Those of many channels in a graph. Nothing is thrown. */
std::vector<FoundUpConvolution> findUpConvolutions(torch::jit::Graph & graph);

} // namespace impact
