#pragma once

#include "impact/chain/spectral_kernels.h"

#include <array>
#include <cstdint>
#include <vector>

namespace impact
{

/** The frequencies of a real tile, as SpectralPlan has them: those whose conjugates are not among them. */
struct SpectrumShape
{
  std::array<std::int32_t, 3>              length{}; // of the tile along x, y, z
  std::vector<std::array<std::int32_t, 3>> frequencies;
  std::int32_t                             realCount{ 0 }; // the first ones are their own conjugates
  std::vector<std::int32_t>                slots;          // see SpectralPlan

  /** \param length even; 1 along an axis without taps */
  static SpectrumShape of(const std::array<std::int32_t, 3> & length);

  /** A plan with these frequencies, which must outlive it, and nothing else yet. */
  SpectralPlan plan() const;
};

/** The taps of a convolution. */
struct SpectrumTaps
{
  const float *               weights; // taps, x fastest, times perTap
  std::array<std::int64_t, 3> kernel;
  std::array<std::int64_t, 3> padding;
  std::int64_t                perTap;
};

/** How many numbers their transform is. */
inline std::size_t
numbersOfSpectrum(const SpectrumShape & shape, const SpectrumTaps & taps)
{
  return shape.frequencies.size() * 2 * static_cast<std::size_t>(taps.perTap);
}

/** Their transform, over the number of voxels of a tile: for each frequency the real parts and then the imaginary ones.
 *
 * \param conjugate for the way back
 * \param to room for numbersOfSpectrum() */
void spectrumOf(const SpectrumShape &   shape,
                const SpectrumTaps &    taps,
                bool                    conjugate,
                const SpectralKernels & kernels,
                float *                 to);

} // namespace impact
