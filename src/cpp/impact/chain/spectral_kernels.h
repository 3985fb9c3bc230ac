#pragma once

// Inner loops of convolutions, compiled once for each kind of processor (see CMakeLists.txt) and chosen at run time.
// No header but these two: inline functions of others, compiled for one processor, could end up in code for all.
#include <cstddef>
#include <cstdint>

namespace impact
{

/** Convolution of many small blocks of voxels ("tiles") with 3 x 3 x 3 kernels through the discrete Fourier transform.
 *
 * A tile of n voxels along an axis is convolved circularly, which costs one multiplication of matrices (channels in by
 * channels out) for each frequency in place of one for each voxel and tap. Transform lengths are even and small; the
 * transforms are done by their definition, halved by symmetry, with the channels side by side in vectors. */
struct SpectralPlan
{
  /** Transform lengths along x, y, z: even, up to 12; 1 along an axis without taps. */
  std::int32_t length[3];

  /** Complex numbers that a real tile is made into: frequencies whose conjugates are not among them. The first ones are
   * their own conjugates: real. */
  std::int32_t numberOfFrequencies;
  std::int32_t numberOfRealFrequencies;

  /** For each (kx, ky, kz), kx up to length[0] / 2, kz fastest: the number of its frequency; -1 - number where it is
   * the conjugate of that one. */
  const std::int32_t * slots;

  std::int32_t channelsIn;  // multiples of 16
  std::int32_t channelsOut; // multiples of 16

  /** For each frequency: real and imaginary parts, each channelsIn x channelsOut. */
  const float * weights;

  const float * bias; // channelsOut, or null
};

/** A tile of a volume of channel-last voxels: where it begins, and which of its voxels are wanted. */
struct SpectralTile
{
  const float * input;  // the volume: z, y, x, channelsIn
  float *       output; // likewise, channelsOut; of the volume's slices those from firstSlice on
  std::int32_t  firstSlice;
  std::int32_t  begin[3];
  std::int32_t  keep[3];    // the first voxel of the tile whose result is right, along x, y, z
  std::int32_t  keepEnd[3]; // one past the last
};

/** What is done to the input's channels on the way in: leaky(scale * x + shift), one scale and shift for each tile's
 * volume and channel. */
struct SpectralEntry
{
  const float * scale; // channelsIn; null: the input as it is
  const float * shift;
  float         slope; // of the negative side; 1: none
};

/** The taps of convolutions, to be transformed for all frequencies of a tile. */
struct SpectralTaps
{
  const float *  weights; // taps x perTap
  std::ptrdiff_t perTap;
  std::int32_t   taps; // up to 27
  std::int32_t   frequencies;
  const double * waves; // for each frequency and tap what its weight is multiplied by: real, imaginary
  float *        to;    // for each frequency perTap real parts, then as many imaginary ones
};

constexpr std::ptrdiff_t weightsAtOnce = 32; // of transformTaps

struct SpectralKernels
{
  /** Convolves tiles of volumes of size[0] x size[1] x size[2]; what a tile reads beyond its volume is zero.
   *
   * \param entries one per tile
   * \param workspace room for workspaceFloats(plan, count) floats, aligned to 64 bytes */
  void (*convolve)(const SpectralPlan &  plan,
                   const std::int32_t *  size,
                   const SpectralTile *  tiles,
                   const SpectralEntry * entries,
                   std::int32_t          count,
                   float *               workspace);

  /** Transforms some weights of each tap: those from the first on, weightsAtOnce or as many as there are. */
  void (*transformTaps)(const SpectralTaps & taps, std::ptrdiff_t first);
};

/** For processors with AVX-512, with AVX2, and for all. */
extern const SpectralKernels spectralKernelsV4;
extern const SpectralKernels spectralKernelsV3;
extern const SpectralKernels spectralKernelsV1;

/** From one frequency to the next in the workspace: a cache line more than the numbers, since steps of whole kilobytes
 * would all fall into a few places of the cache. */
static inline std::ptrdiff_t
frequencyPitch(std::ptrdiff_t numbers)
{
  return numbers + 16;
}

/** How many floats of workspace so many tiles need. */
static inline std::size_t
workspaceFloats(const SpectralPlan & plan, std::int32_t tiles)
{
  const auto        rows = static_cast<std::ptrdiff_t>((tiles + 7) / 8 * 8);
  const auto        frequencies = static_cast<std::size_t>(plan.numberOfFrequencies);
  const std::size_t in = frequencies * static_cast<std::size_t>(frequencyPitch(2 * rows * plan.channelsIn));
  const std::size_t out = frequencies * static_cast<std::size_t>(frequencyPitch(2 * rows * plan.channelsOut));
  const std::size_t lanes = 16;
  const std::size_t tile = 2 * lanes * static_cast<std::size_t>(plan.length[0] / 2 + 1) *
                           static_cast<std::size_t>(plan.length[1]) * static_cast<std::size_t>(plan.length[2]);
  const std::size_t sums = static_cast<std::size_t>(rows * plan.channelsIn);
  return in + out + sums + tile;
}

} // namespace impact
