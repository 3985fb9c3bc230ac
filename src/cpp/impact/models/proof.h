#pragma once

#include "impact/models/network_chain.h"

#include <functional>
#include <vector>

namespace impact
{

/** The selected layers of an image. */
using LayersOf = std::function<std::vector<at::Tensor>(const at::Tensor & image, const ImageContext & context)>;

/** What two ways through a network are compared with: irregular images, with statistics and intensities that no network
 * is made for. */
struct ProofInput
{
  int        dimension;
  int        numberOfChannels;
  at::Tensor direction; // as ImageContext has it
};

/** What of the network another way is compared with. */
enum class ProofOf
{
  Layers,
  Derivative,   // and the layers
  LayersNearly, // which our own kernels give
  Bits          // of the layers
};

/** Whether another way through a network gives its layers, and their derivative with respect to the image. They are
 * taken to differ where the network refuses images of all sizes that are tried. */
bool isTheSame(const LayersOf & network, const LayersOf & other, const ProofInput & input, ProofOf what);

/** Whether a chain gives the selected layers that the network itself gives: of an image of a single tile, and of one of
 * several. */
bool givesTheSameLayers(const LayersOf & network, const NetworkChain & chain, const ProofInput & input);

/** The same of patches, there and back. */
bool givesTheSamePatches(const LayersOf & network, const NetworkChain & chain, const ProofInput & input);

} // namespace impact
