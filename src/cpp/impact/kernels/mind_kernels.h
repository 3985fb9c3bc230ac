#pragma once

// Like spectral_kernels.h: no other headers.
#include <cstddef>
#include <cstdint>

namespace impact
{

/** How MIND's channels come from an image that goes on beyond its edges by radius and dilation. Lines of what is made
 * on the way are `pitch` numbers long. */
struct MindPlan
{
  static constexpr std::int32_t mostChannels = 12;
  static constexpr std::int32_t longestVector = 16;

  std::int32_t   channels;             // pairs of neighbours that are compared
  std::int32_t   radius;               // of a patch
  std::int32_t   slices;               // that a patch has: 1 in 2D
  std::int32_t   width;                // voxels of a line of the result
  std::ptrdiff_t line;                 // from one line of that image to the next
  std::ptrdiff_t first[mostChannels];  // where a patch's first voxel's neighbours lie
  std::ptrdiff_t second[mostChannels]; // and those that they are compared with
  std::ptrdiff_t centre;               // where it lies itself

  /** Of a line of squares, which patches reach beyond the result by their radius: so many vectors are whole. */
  std::int32_t
  pitch() const
  {
    return (width + 2 * radius + longestVector - 1) / longestVector * longestVector;
  }

  /** How many numbers are read beyond the end of the image, and of what is made on the way. */
  std::int32_t
  beyond() const
  {
    return 2 * radius + longestVector;
  }

  /** Numbers of the squares of a slice, of so many lines of the result. */
  std::ptrdiff_t
  squares(std::int32_t lines) const
  {
    return static_cast<std::ptrdiff_t>(channels + 1) * (lines + 2 * radius) * pitch();
  }
};

/** Loops of MIND (models/mind.h), in the order in which torch would do it, operation by operation: no multiplication
 * and addition is made one, so that every kind of processor gives the same bits. */
struct MindKernels
{
  /** The squared differences of one slice, and the squares of the image.
   *
   * \param from the first voxel of the lines' patches, in the image with what lies beyond its edges
   * \param to   receives plan.squares(lines) */
  void (*squares)(const MindPlan & plan, const float * from, std::int32_t lines, float * to);

  /** What the features are the exponentials of.
   *
   * \param slices  the squares of as many slices as a patch has
   * \param scratch room for 2 (lines + 2 radius) pitch numbers and those beyond
   * \param to      receives for each channel, and for the mean square of the image, lines x pitch numbers */
  void (
    *exponents)(const MindPlan & plan, const float * const * slices, std::int32_t lines, float * scratch, float * to);

  /** Puts channels side by side.
   *
   * \param from channels x lines x pitch
   * \param to   lines x width x channels */
  void (*interleave)(const MindPlan & plan, const float * from, std::int32_t lines, float * to);
};

extern const MindKernels mindKernelsV4;
extern const MindKernels mindKernelsV3;
extern const MindKernels mindKernelsV1;

} // namespace impact
