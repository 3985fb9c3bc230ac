#pragma once

#include "impact/similarity/level_memory.h"

#include <optional>
#include <string>

namespace impact
{

/** \return what to say of a patch that is larger than the image it is taken from: it would show little but repeated
 * edges. None where it is not.
 *
 * \param side as messages have it: fixed, moving */
std::optional<Problem> patchTooLarge(const ModelSettings & model, const Grid & grid, const std::string & side);

/** Runs a model once on a small input, in Jacobian mode a patch. \throws Error when model and settings do not fit. */
TriedModel tryPatches(const LevelSettings & settings,
                      const ModelSettings & model,
                      const Grid &          grid,
                      const Model &         loaded,
                      const ImageContext &  context);

/** The same for a model that sees whole images or tiles of them: also whether tiles are large enough. */
TriedModel tryStatically(const LevelSettings & settings,
                         const ModelSettings & model,
                         const Grid &          grid,
                         const Model &         loaded,
                         const ImageContext &  context);

/** An image for a model of which none is known: large enough for its patch and for most networks. */
Grid nominalGrid(const ModelSettings & model);

} // namespace impact
