#pragma once

#include "impact/base/problem.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

class ParameterError;

enum class Mode
{
  Static,
  Jacobian
};

enum class Distance
{
  L1,
  L2,
  Cosine,
  L1Cosine,
  Dice,
  NCC,
  DotProduct
};

/** Every distance, in the order in which messages list them. */
inline constexpr std::array allDistances{ Distance::L1,   Distance::L2,  Distance::Cosine,    Distance::L1Cosine,
                                          Distance::Dice, Distance::NCC, Distance::DotProduct };

/** How each feature vector is scaled over the channels of its layer, before anything else is done with it. */
enum class FeatureNormalization
{
  None,
  L2,          // to unit length
  Standardized // to zero mean and unit deviation
};

/** Every one of them, in the order in which messages list them. */
inline constexpr std::array allFeatureNormalizations{ FeatureNormalization::None,
                                                      FeatureNormalization::L2,
                                                      FeatureNormalization::Standardized };

/** One feature extractor as a parameter map describes it, for one image at one resolution level. */
struct ModelSettings
{
  std::string               path;
  int                       dimension{ 3 };
  int                       numberOfChannels{ 1 };
  std::vector<std::int64_t> patchSize;  // voxels, x y (z); zeros mean the whole image
  std::vector<double>       voxelSize;  // mm, x y (z)
  std::vector<bool>         layersMask; // one entry per output of the model
  FeatureNormalization      featureNormalization{ FeatureNormalization::None };
};

/** How one selected layer enters the metric. */
struct LayerSettings
{
  std::int64_t subsetFeatures{ 0 }; // channels drawn at each evaluation; 0 or more than there are: all
  double       weight{ 1.0 };
  std::int64_t pca{ 0 }; // principal components kept; 0: the features as they are
  Distance     distance{ Distance::L2 };
};

/** Everything that holds at one resolution level. Fixed and moving models come in pairs. */
struct LevelSettings
{
  int         level{ 0 };
  Mode        mode{ Mode::Jacobian };
  int         gpu{ -1 };                       // index of the GPU, or -1 for the CPU
  bool        useMixedPrecision{ false };      // half precision for networks on a GPU, for Static maps anywhere
  bool        normalizeLosses{ false };        // each layer's distance divided by its own at the first evaluation
  double      mutualInformationWeight{ 0.0 };  // of that of the intensities, which is taken from the value; 0: none
  double      bendingEnergyWeight{ 0.0 };      // of the transform's bending energy in the value; 0: none
  double      bendingEnergyLimit{ 0.0 };       // of weight times energy where the level starts, by less weight; 0: none
  int         featuresMapUpdateInterval{ -1 }; // iterations; -1: never. Static mode
  std::string featureMapsFolder;               // where feature maps are written; empty: nowhere
  std::vector<ModelSettings> fixedModels;
  std::vector<ModelSettings> movingModels;
  std::vector<LayerSettings> layers; // the selected layers, in order over the models

  /** Parameters, e.g. FixedPatchSize or GPU, and their names as the user wrote them. */
  std::map<std::string, std::string> names;

  /** Whether networks compute in half precision where torch finds that safe. */
  bool
  networksAreMixed() const
  {
    return useMixedPrecision && gpu >= 0;
  }

  /** Whether feature maps are kept in half precision. */
  bool
  mapsAreHalf() const
  {
    return useMixedPrecision && mode == Mode::Static;
  }

  /** A parameter's name as the user wrote it, or plain where the map does not have it. */
  std::string nameOf(const std::string & parameter) const;

  /** The error with that name in its text. \param side "Fixed", "Moving", or empty for what is not of one image */
  Problem inWords(const ParameterError & error, const std::string & side) const;
};

std::string toString(Mode mode);
std::string toString(Distance distance);
std::string toString(FeatureNormalization normalization);

/** The distance of that name, or none. */
std::optional<Distance> toDistance(const std::string & name);

/** The names of all distances as a message lists them: "L1", "L2", ... */
std::string namesOfDistances();

/** The same of normalisations of features. */
std::optional<FeatureNormalization> toFeatureNormalization(const std::string & name);
std::string                         namesOfFeatureNormalizations();

/** Number of layers that the masks of these models select. */
std::size_t numberOfSelectedLayers(const std::vector<ModelSettings> & models);
std::size_t numberOfSelectedLayers(const ModelSettings & model);

/** The level as a table in the user's terms, for the log. */
std::string describe(const LevelSettings & settings);

/** What the log says once where a level weighs several layers and the map does not say whether their distances are
 * divided: other components then do. Empty for other maps. */
std::string noteOnLosses(const std::vector<LevelSettings> & levels);

} // namespace impact
