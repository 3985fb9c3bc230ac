#pragma once

#include "impact/base/geometry.h"
#include "impact/features/feature_extractor.h"
#include "impact/models/model.h"
#include "impact/settings/settings.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

/** What a trial told of a model, and how its runs over an image will go. */
struct TriedModel
{
  ModelTrial trial;
  double     voxelsAtOnce{ 0.0 }; // of an image, a slice or a tile, with what it is carried on by
  double     padding{ 1.0 };      // voxels of the image with that, for each voxel without
  bool       isTiled{ false };

  /** \param extractor made for images of that grid */
  void describeRuns(const FeatureExtractor & extractor, const ModelSettings & model, const Grid & grid);
};

/** What the feature maps of a level will take in Static mode. Images are told one after the other, in the order in
 * which their features are made. */
class FeatureMapMemory
{
public:
  explicit FeatureMapMemory(const LevelSettings & settings);

  /** \param components of each layer after its reduction; 0: not reduced */
  void add(const ModelSettings &             model,
           const Grid &                      grid,
           const TriedModel &                tried,
           const std::vector<std::int64_t> & components);

  /** Bytes at the peak, with what making the features takes, as the trials tell. */
  double
  atPeak() const
  {
    return m_Peak;
  }

  /** \return what to say where what is sure to be taken at a time, the maps made so far and the layers of which the
   * next ones are made, is more than there is */
  std::optional<Problem> tooMuch(at::Device device) const;

private:
  double m_KeptPart; // of a map in single precision
  double m_Kept{ 0.0 };
  double m_Sure{ 0.0 }; // at the peak, without what a network may take besides
  double m_Peak{ 0.0 };
};

/** Bytes of the patches of all samples, of their gradients, and of what the network keeps for the way back. */
double patchBytes(const ModelSettings & model, const ModelTrial & trial, bool isFixed, std::int64_t samples);

} // namespace impact
