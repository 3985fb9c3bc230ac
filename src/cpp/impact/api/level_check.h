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

/** A level of which is to be found out whether it can run. */
struct LevelToCheck
{
  const LevelSettings & settings;

  /** False after errors of the parser: the models are then opened, but not run. */
  bool settingsAreRight{ true };

  /** None, one or both: what depends on the images is left out. */
  std::optional<Grid> fixedGrid{};
  std::optional<Grid> movingGrid{};

  /** The models that were opened so far. */
  ModelRepositoryPointer models{};

  /** The threads to use; null: this one, and torch's own number of threads. */
  std::shared_ptr<Workers> workers{};

  /** Whether models and memory of the result are wanted, which takes some time. */
  bool         isSurveyed{ false };
  std::int64_t numberOfSamples{ 2000 };
};

/** What was found out. */
struct LevelCheck
{
  std::vector<Finding>       findings;
  std::vector<SurveyedModel> models; // those of pairs that ran: fixed, moving, fixed, ...

  /** Bytes that the level will take at its peak, an estimate: the feature maps and what making them takes (Static; 0
   * where no image is known); patches of the samples, their gradients, and what the networks keep for the way back
   * (Jacobian). */
  double bytes{ 0.0 };
};

/** Opens the models of a level, runs each once on a small input and checks that they fit the settings and the images.
 * Nothing is thrown for what a user can mend: it is among the findings. */
IMPACT_API LevelCheck checkLevel(const LevelToCheck & level);

} // namespace impact
