#pragma once

#include "impact/api/layout.h"
#include "impact/api/model_repository.h"
#include "impact/base/export.h"
#include "impact/base/finding.h"
#include "impact/base/geometry.h"
#include "impact/base/workers.h"
#include "impact/settings/settings.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace impact
{

/** A selected layer of a model that was run. */
struct SurveyedLayer
{
  std::int64_t               channels;
  std::optional<LayerLayout> layout; // in the model's input; none where it cannot be measured
};

/** A model that was run: what it sees of its image, and what it gives. */
struct SurveyedModel
{
  std::size_t                 number; // among the models of its image
  bool                        isFixed;
  std::array<std::int64_t, 3> imageSize; // the image in voxels of VoxelSize, x y z; zeros where no image is known
  std::vector<SurveyedLayer>  layers;
};

/** What checkLevel found out about a level beside what is wrong with it. */
struct LevelSurvey
{
  std::vector<SurveyedModel> models;

  /** Bytes that the level will take at its peak, an estimate: the feature maps and what making them takes (Static; 0
   * where no image is known); patches of `numberOfSamples` samples, their gradients, and what the networks keep for the
   * way back (Jacobian). */
  double       bytes{ 0.0 };
  std::int64_t numberOfSamples{ 2000 };
};

/** Opens the models of a level, runs each once on a small input and checks that they fit the settings and the images.
 *
 * \param settingsAreRight false after errors of the parser: the models are then opened, but not run
 * \param fixedGrid none, as movingGrid: what depends on the images is left out
 * \param survey null, or receives what was found out about the models that ran
 * \return the findings; nothing is thrown for what a user can mend. */
IMPACT_API std::vector<Finding> checkLevel(const LevelSettings &            settings,
                                           bool                             settingsAreRight,
                                           const std::optional<Grid> &      fixedGrid,
                                           const std::optional<Grid> &      movingGrid,
                                           const ModelRepositoryPointer &   models,
                                           const std::shared_ptr<Workers> & workers = nullptr,
                                           LevelSurvey *                    survey = nullptr);

} // namespace impact
