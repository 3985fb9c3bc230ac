#pragma once

#include "impact/models/model.h"

#include <vector>

namespace impact
{

/** Whether a chain gives the selected layers that the network itself gives: of an image of a single tile, and of one of
 * several. */
bool givesTheSameLayers(const Model &             model,
                        const ConvolutionChain &  chain,
                        const std::vector<bool> & mask,
                        int                       dimension,
                        int                       numberOfChannels);

/** The same of patches, there and back. */
bool givesTheSamePatches(const Model &             model,
                         const ConvolutionChain &  chain,
                         const std::vector<bool> & mask,
                         int                       dimension,
                         int                       numberOfChannels);

} // namespace impact
