#pragma once

#include "impact/models/layer_layout.h"

#include <functional>

namespace impact
{

/** \throws ParameterError when tiles of that size are too small for the layers' reach. Sizes x, y (, z). */
void checkTiles(const std::array<std::int64_t, 3> & imageSize,
                const std::vector<std::int64_t> &   tileSize,
                const std::vector<LayerLayout> &    layouts);

/** Runs a model over overlapping tiles of an image and puts the layers together again.
 *
 * Where a layer depends on at most `LayerLayout::reach` voxels around it, the result equals that of the whole image.
 * Between tiles the layers are blended over the part of the overlap that no tile's edge reaches, so that models which
 * see further than their measured reach show no seam.
 *
 * \param image (z) x y x x
 * \param run   the model: a tile to its layers, 1 x channels x (z) x y x x
 * \throws Error when the tiles are too small for the model's reach. */
std::vector<at::Tensor> runTiled(const at::Tensor &                                                      image,
                                 const std::vector<std::int64_t> &                                       tileSize,
                                 const std::vector<LayerLayout> &                                        layouts,
                                 const std::function<std::vector<at::Tensor>(const at::Tensor & tile)> & run);

} // namespace impact
