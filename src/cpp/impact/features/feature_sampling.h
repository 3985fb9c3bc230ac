#pragma once

#include "impact/api/engine.h"
#include "impact/features/feature_map.h"

namespace impact
{

/** Features at points. */
struct SampledFeatures
{
  at::Tensor values; // N x channels, float, without a graph

  /** What pullBackToPoints() wants: N x 3 x channels, the derivatives along the axes of the map. */
  at::Tensor partials;
};

/** Features at points by linear interpolation; beyond the outermost voxel centres the nearest value holds.
 *
 * \param points N x 3, physical, mm, double
 * \param channels the columns wanted; undefined: all
 * \param engine   kernels only for a map on the CPU */
SampledFeatures sampleFeatures(const FeatureMap & map,
                               const at::Tensor & points,
                               const at::Tensor & channels,
                               bool               withGradient,
                               Engine             engine);

/** The way back: what a gradient with respect to those features is with respect to the points.
 *
 * \param gradient N x channels
 * \return N x 3, double, per mm */
at::Tensor pullBackToPoints(const FeatureMap &      map,
                            const at::Tensor &      points,
                            const SampledFeatures & sampled,
                            const at::Tensor &      gradient,
                            Engine                  engine);

} // namespace impact
