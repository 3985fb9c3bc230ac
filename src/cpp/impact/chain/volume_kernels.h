#pragma once

// Like spectral_kernels.h: no other headers.
#include <cstddef>
#include <cstdint>

namespace impact
{

/** How a raw output of a convolution becomes what the next layer sees: leaky(scale * x + shift) per channel, where
 * leaky multiplies what is negative by the slope. Instance normalisation makes scale and shift from mean and deviation.
 */
struct ChannelMap
{
  const float * scale;
  const float * shift;
  const float * mean;             // of the raw output over the volume; null where scale and shift do not depend on it
  const float * inverseDeviation; // likewise
  float         slope;
};

/** See VolumeKernels::convolveLines. */
struct LinePlan
{
  std::int32_t           count;   // of voxels in a line of output
  std::ptrdiff_t         pitch;   // from one line of the padded volume to the next
  const std::ptrdiff_t * offsets; // of the taps from the first
  std::int32_t           taps;
  const float *          weights; // taps x channels
  const float *          bias;    // channels, or null
  std::int32_t           channels;
};

/** See VolumeKernels::convolveSmall. */
struct SmallPlan
{
  std::int32_t  size[3]; // of the volume; size[0] from 2 to longestLine
  std::int32_t  depth;   // of the kernel: 3, or 1 for 3 x 3 x 1
  const float * weights; // taps x channels
  const float * bias;    // channels, or null
  std::int32_t  channels;
};

/** Loops over volumes of channel-last voxels. Numbers of channels are multiples of 32. */
struct VolumeKernels
{
  /** The longest lines of convolveSmall(): such as fit into the registers. */
  std::int32_t longestLine;

  /** A 3 x 3 x 3 convolution of one channel with zeros around it, in steps of one voxel. What the zeros take part in,
   * in a volume of 5 x 5 x 5 a third of all, is left out rather than multiplied.
   *
   * \param to volume x channels */
  void (*convolveSmall)(const SmallPlan & plan, const float * from, float * to);

  /** Its way back: what a gradient with respect to the result is with respect to the channel. */
  void (*convolveSmallBack)(const SmallPlan & plan, const float * gradient, float * to);

  /** Adds lines of three taps each to where they belong: to[offsets[i] + j] += products[3 i + j]. Reads one float
   * beyond the products, and writes one beyond each line, unchanged. */
  void (*addTaps)(const float * products, const std::ptrdiff_t * offsets, std::int32_t lines, float * to);

  /** out = sum over the taps of (rows of eight voxels) x weights.
   *
   * \param rows for each tap, pointers to eight voxels of `in` channels each
   * \param weights taps x in x out
   * \param bias out, or null
   * \param to eight pointers to voxels of `out` channels; null: not wanted */
  void (*multiplyRows)(const float * const * rows,
                       std::int32_t          taps,
                       std::int32_t          in,
                       const float *         weights,
                       const float *         bias,
                       std::int32_t          out,
                       float * const *       to);

  /** Some lines, one below the other, of a convolution of one channel in steps of one voxel.
   *
   * \param from the first voxel's first tap, in a padded volume
   * \param to lines x count x channels */
  void (*convolveLines)(const LinePlan & plan, const float * from, std::int32_t number, float * to);

  /** Mean, and sum of squared differences from it, of each channel; of at most some thousand voxels. */
  void (*moments)(const float * x, std::int64_t voxels, std::int32_t channels, double * mean, double * squares);

  /** What instance normalisation makes of them: scale, shift, mean and inverse deviation, `channels` floats each.
   *
   * \param gain, offset what it multiplies with and adds afterwards */
  void (*normalization)(const double * mean,
                        const double * squares,
                        double         voxels,
                        double         epsilon,
                        const float *  gain,
                        const float *  offset,
                        std::int32_t   channels,
                        float *        storage);

  /** to = map(x); may be the same place. */
  void (*apply)(const float * x, std::int64_t voxels, std::int32_t channels, const ChannelMap & map, float * to);

  /** What gradients with respect to map(x) at a few voxels, zero elsewhere, are with respect to x.
   *
   * \param numbers of those voxels
   * \param given their gradients, one voxel after the other
   * \param gradient receives the result, for all voxels */
  void (*applyBackFrom)(const float *        x,
                        std::int64_t         voxels,
                        std::int32_t         channels,
                        const ChannelMap &   map,
                        const std::int64_t * numbers,
                        std::int32_t         count,
                        const float *        given,
                        float *              gradient);

  /** Turns a gradient with respect to map(x) into one with respect to x, in place. */
  void (
    *applyBack)(const float * x, std::int64_t voxels, std::int32_t channels, const ChannelMap & map, float * gradient);
};

extern const VolumeKernels volumeKernelsV4;
extern const VolumeKernels volumeKernelsV3;
extern const VolumeKernels volumeKernelsV1;

} // namespace impact
