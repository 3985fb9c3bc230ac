#pragma once

#include "impact/api/engine.h"
#include "impact/api/known_transform.h"
#include "impact/api/model_repository.h"
#include "impact/base/export.h"
#include "impact/base/geometry.h"
#include "impact/base/stage_times.h"
#include "impact/base/workers.h"
#include "impact/settings/settings.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/** The similarity stage as the geometry and chain-rule stages see it: plain arrays in, value and gradient out.
 *
 * No torch header is included here, so that what is built against ITK and elastix stays free of them. */
namespace impact
{

/** What a model saw or gave, for WriteFeatureMaps. */
struct MapToWrite
{
  std::string   name; // of the file, without folder and ending
  Grid          grid;
  std::int64_t  channels;
  const float * pixels; // the channels of a voxel side by side, voxels x fastest
};

/** What a device needs to know to map samples and to pull gradients back by itself. */
struct DeviceGeometry
{
  struct Mask
  {
    std::vector<std::uint8_t> voxels; // other than 0: inside
    Grid                      grid;
  };
  std::optional<Mask> movingMask;

  /** What gradients with respect to moving points are multiplied by; none: nothing. */
  std::optional<Matrix> gradientScale;
};

/** An evaluation on a device: all that goes up. */
struct DeviceEvaluation
{
  const KnownTransform * transform;

  /** The sampler's points, three numbers each; null: they are those of the last evaluation. */
  const std::vector<double> * newPoints;
};

/** All that comes down. */
struct DeviceResult
{
  double       value{ 0.0 };
  std::int64_t numberOfSamples{ 0 }; // that map inside the moving image and its mask; none: a value of 0

  /** The gradients added up as PointMapper::FromSums wants them; empty where none were asked for. */
  std::vector<double> sums;
};

/** What a similarity needs to come into being. */
struct SimilarityInput
{
  ImageView              fixed;
  ImageView              moving;
  LevelSettings          settings;
  Engine                 engine{ Engine::Torch }; // kernels: for the CPU alone
  ModelRepositoryPointer models;
  std::uint64_t          seed{ 0 };

  /** Receives how long it took; null: nothing is measured. Must outlive the similarity. */
  StageTimes * times{ nullptr };

  /** The threads to use; null: this one, and torch's own number of threads. */
  std::shared_ptr<Workers> workers;

  /** Called in Static mode with what models see and give; none where nothing is to be written. */
  std::function<void(const MapToWrite &)> writer;

  /** Told what the user should know of; may be empty. */
  std::function<void(const std::string &)> log;

  /** Where evaluateOnDevice() is to be called. */
  std::optional<DeviceGeometry> deviceGeometry;
};

/** Static mode: features of both images made once, compared at given points. Not thread-safe. */
class IMPACT_API StaticSimilarity
{
public:
  /** Makes the feature maps; those of the moving image only where they are not made anew every few iterations.
   * \throws Error when a model does not fit. */
  explicit StaticSimilarity(const SimilarityInput & input);
  ~StaticSimilarity();

  /** Whether all networks of a level run on the workers alone, so that a thread may join in while the maps are made
   * (Workers::limit); torch's own threads cannot. */
  static bool runsOnWorkers(const SimilarityInput & input);

  /** For each model, the grid in the fixed image's space on which updateMovingFeatures wants the warped image. */
  std::vector<Grid> warpedGrids() const;

  /** Makes the moving features from the moving image warped onto the fixed one.
   *
   * \param warped for each model, the intensities on its grid, x fastest. From then on moving points are points of the
   * warped image. */
  void updateMovingFeatures(const std::vector<std::vector<float>> & warped);

  /** Compares the fixed features at the fixed points with the moving features at the moving points.
   *
   * \param fixedPoints  N points, physical, mm, 3 numbers each (the third 0 in 2D)
   * \param movingPoints N points likewise
   * \param gradient     null, or room for 3 N numbers: d(value)/d(moving point), per mm
   * \return the value, the weighted sum over the selected layers */
  double evaluate(const std::vector<double> & fixedPoints,
                  const std::vector<double> & movingPoints,
                  std::vector<double> *       gradient);

  /** The same from the samples on, without leaving the device. To be called where the input had a DeviceGeometry. */
  DeviceResult evaluateOnDevice(const DeviceEvaluation & evaluation, bool withGradient);

  /** One line per feature map, for the log. */
  std::string describe() const;

private:
  class Implementation;
  std::unique_ptr<Implementation> m_Implementation;
};

/** Jacobian mode: patches around each sample go through the network at every evaluation. Not thread-safe. */
class IMPACT_API PatchSimilarity
{
public:
  explicit PatchSimilarity(const SimilarityInput & input);
  ~PatchSimilarity();

  std::size_t numberOfModels() const;

  /** One line for each model whose patches are smaller than the settings say, for the log. */
  std::string describe() const;

  /** Where the voxels of patches lie around their samples, mm along the axes of the fixed image given as physical
   * vectors, x fastest. The same for all samples but those of a 2D model in a 3D image. Refers to the similarity. */
  class Placement
  {
  public:
    struct OfModel
    {
      const std::vector<std::vector<Vector>> * fixed; // one per plane
      const std::vector<std::vector<Vector>> * moving;
      std::vector<std::size_t>                 planeOfSample;
    };

    explicit Placement(std::vector<OfModel> models)
      : m_Models(std::move(models))
    {}

    const std::vector<Vector> &
    fixed(std::size_t model, std::size_t sample) const
    {
      return (*m_Models[model].fixed)[m_Models[model].planeOfSample[sample]];
    }

    const std::vector<Vector> &
    moving(std::size_t model, std::size_t sample) const
    {
      return (*m_Models[model].moving)[m_Models[model].planeOfSample[sample]];
    }

    const std::vector<std::size_t> &
    planeOfSample(std::size_t model) const
    {
      return m_Models[model].planeOfSample;
    }

  private:
    std::vector<OfModel> m_Models;
  };

  /** For an evaluation; draws the planes in which 2D models see a 3D image. */
  Placement draw(std::size_t numberOfSamples);

  /** One array per model: N patches, the voxels of each in the order of its offsets. */
  using Patches = std::vector<std::vector<float>>;

  /** Runs the networks alone. \throws Error for what they refuse, and for features that are no numbers. */
  void tryModels(const Patches & fixed, const Patches & moving);

  /** \param gradient null, or receives d(value)/d(intensity) for every voxel of the moving patches. */
  double evaluate(const Patches & fixed, const Patches & moving, Patches * gradient);

  /** All of an evaluation, without leaving the device; it draws by itself. To be called where the input had a
   * DeviceGeometry. */
  DeviceResult evaluateOnDevice(const DeviceEvaluation & evaluation, bool withGradient);

private:
  class Implementation;
  std::unique_ptr<Implementation> m_Implementation;
};

} // namespace impact
