#pragma once

#include "impact/api/engine.h"
#include "impact/api/layout.h"
#include "impact/base/export.h"
#include "impact/base/geometry.h"
#include "impact/settings/settings.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/** Networks without a registration, for who wants to know what they take and give: plain numbers, no torch header. */
namespace impact
{

/** An input that a network is tried on: irregular but always the same. */
struct TrialInput
{
  std::vector<std::int64_t> size; // x, y (, z)
  int                       channels;
  std::pair<double, double> intensities; // the lowest and the highest
  std::int64_t              batch{ 1 };
};

/** A TorchScript file as the metric opens it, on the CPU. Not thread-safe. */
class IMPACT_API Network
{
public:
  /** \throws Error when the file is no model, or damaged. */
  explicit Network(const std::string & path);
  ~Network();

  /** What forward() takes besides the image: nb_layers, stats, direction. */
  std::vector<std::string> arguments() const;

  /** The shape of each layer, batch x channels x (z) x y x x. \throws Error when the network refuses the input. */
  std::vector<std::vector<std::int64_t>> layerShapes(const TrialInput & input, std::size_t numberOfLayers) const;

  /** Measures the layers by gradient, on inputs with `size` voxels along each axis.
   *
   * \param numberOfInputs at least how many are tried
   * \throws Error when the network refuses them. */
  std::vector<MeasuredLayer> measure(std::int64_t              size,
                                     int                       dimension,
                                     int                       channels,
                                     std::size_t               numberOfLayers,
                                     std::pair<double, double> intensities,
                                     int                       numberOfInputs) const;

  /** The most bytes of tensors at a time that all layers take, with the derivative with respect to the input where
   * `gradient`. \throws Error when the network refuses the input. */
  std::int64_t peakMemory(const TrialInput & input, std::size_t numberOfLayers, bool gradient) const;

  /** Whether the layers that the mask selects are made by our own kernels on the CPU. */
  bool runsAsChain(const std::vector<bool> & layersMask, int dimension, int numberOfChannels) const;

  /** How many chains within the network, besides, are run by them in Static mode. */
  std::size_t chainsWithin(const std::vector<bool> & layersMask, int dimension, int numberOfChannels) const;

private:
  class Implementation;
  std::unique_ptr<Implementation> m_Implementation;
};

/** The features of a whole image as Static mode makes them. */
struct ImageFeatures
{
  Grid               grid;
  std::int64_t       channels;
  std::vector<float> pixels; // the channels of a voxel side by side, voxels x fastest
};

/** \return for each selected layer its features. \throws Error when the model does not fit. */
IMPACT_API std::vector<ImageFeatures> featuresOf(const ImageView & image, const ModelSettings & settings, int gpu);

/** How far two sets of features are apart, as a level's value.
 *
 * \param fixed, moving samples x channels numbers each, row by row
 * \param gradient null, or room for as many numbers: the derivative with respect to the moving ones
 */
IMPACT_API double distanceOf(Distance       kind,
                             const double * fixed,
                             const double * moving,
                             std::int64_t   samples,
                             std::int64_t   channels,
                             double *       gradient = nullptr,
                             Engine         engine = Engine::Kernels);

} // namespace impact
