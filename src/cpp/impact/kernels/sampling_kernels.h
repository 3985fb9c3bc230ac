#pragma once

// Like spectral_kernels.h: no other headers.
#include <cstdint>

namespace impact
{

/** A map of features: the channels of a voxel side by side. */
struct FeatureGrid
{
  const float *         rows;   // voxels x channels, x fastest
  const std::uint16_t * halves; // the same in IEEE half precision, where rows is null
  std::int64_t          channels;
  std::int64_t          size[3];

  /** p -> toIndex (p - origin): index 0 is the first voxel's centre. */
  double toIndex[9];
  double origin[3];
};

struct SamplingKernels
{
  /** Features at points by linear interpolation; beyond the outermost voxel centres the nearest value holds.
   *
   * \param points three numbers each
   * \param chosen the channels wanted; null: all, and `wanted` is their number
   * \param values count x wanted
   * \param partials null, or receives the derivatives along the axes of the map, per voxel: count x 3 x wanted */
  void (*gather)(const FeatureGrid &  grid,
                 const double *       points,
                 std::int64_t         count,
                 const std::int64_t * chosen,
                 std::int64_t         wanted,
                 float *              values,
                 float *              partials);

  /** Whether all are numbers within the range of half precision. */
  bool (*fitsHalf)(const float * from, std::int64_t count);

  void (*halve)(const float * from, std::int64_t count, std::uint16_t * to);

  /** What gradients with respect to such values, count x wanted, are with respect to the points: three numbers each. */
  void (*pullBackToPoints)(const FeatureGrid & grid,
                           const float *       partials,
                           const float *       gradients,
                           std::int64_t        count,
                           std::int64_t        wanted,
                           double *            result);
};

extern const SamplingKernels samplingKernelsV4;
extern const SamplingKernels samplingKernelsV3;
extern const SamplingKernels samplingKernelsV1;

} // namespace impact
