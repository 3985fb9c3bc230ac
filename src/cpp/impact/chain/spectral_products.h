#pragma once

// The products of frequencies with weights. No other headers: see spectral_kernels.h.
#include "impact/chain/spectral_kernels.h"
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

/** Which of three products of reals that make one of complex numbers: of the real parts, of the imaginary ones, of the
 * sums of both. */
enum class Part
{
  Real,
  Imaginary,
  Sum
};

/** One of them, for two vectors of channels out; added to what the ones before have left. */
template <Part part>
void
addProduct(const float *  in,
           const float *  weights,
           float *        out,
           std::ptrdiff_t outPitch,
           int            channelsIn,
           int            channelsOut)
{
  constexpr int        rows = IMPACT_ROWS;
  const std::ptrdiff_t imaginary = static_cast<std::ptrdiff_t>(channelsIn) * channelsOut;
  Vec                  sums[rows][vectorsOfColumns]{};
  // The weights of the next frequency are what would be waited for.
  auto next = reinterpret_cast<std::uintptr_t>(weights) + static_cast<std::size_t>(2 * imaginary) * sizeof(float);
  for (int k = 0; k < channelsIn;
       ++k, ++in, weights += channelsOut, next += static_cast<std::size_t>(channelsOut) * sizeof(float))
  {
    Vec w[vectorsOfColumns];
#pragma GCC unroll 2
    for (int v = 0; v < vectorsOfColumns; ++v)
    {
      if (part != Part::Sum)
      {
        __builtin_prefetch(reinterpret_cast<const float *>(next) + v * lanes);
      }
      w[v] = load(weights + v * lanes);
      if (part == Part::Sum)
      {
        w[v] += load(weights + imaginary + v * lanes);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
    {
      const Vec a = spread(in[static_cast<std::ptrdiff_t>(r) * channelsIn]);
#pragma GCC unroll 2
      for (int v = 0; v < vectorsOfColumns; ++v)
      {
        sums[r][v] += a * w[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
  {
#pragma GCC unroll 2
    for (int v = 0; v < vectorsOfColumns; ++v)
    {
      float * const re = out + static_cast<std::ptrdiff_t>(r) * channelsOut + v * lanes;
      float * const im = re + outPitch;
      const Vec     sum = sums[r][v];
      if (part == Part::Real)
      {
        store(re, sum);
        store(im, -sum);
      }
      else if (part == Part::Imaginary)
      {
        store(re, load(re) - sum);
        store(im, load(im) - sum);
      }
      else
      {
        store(im, load(im) + sum);
      }
    }
  }
}

/** \param sums room for rows x (channels in) */
void
multiply(const SpectralPlan & plan, int rows, const float * in, float * sums, float * out)
{
  const int            channelsIn = plan.channelsIn;
  const int            channelsOut = plan.channelsOut;
  const std::ptrdiff_t inPitch = static_cast<std::ptrdiff_t>(rows) * channelsIn;
  const std::ptrdiff_t outPitch = static_cast<std::ptrdiff_t>(rows) * channelsOut;
  const std::ptrdiff_t imaginary = static_cast<std::ptrdiff_t>(channelsIn) * channelsOut;
  const float *        weights = plan.weights;
  for (int f = 0; f < plan.numberOfFrequencies; ++f)
  {
    const bool isReal = f < plan.numberOfRealFrequencies;
    for (std::ptrdiff_t i = 0; !isReal && i < inPitch; i += lanes)
    {
      store(sums + i, load(in + i) + load(in + inPitch + i));
    }
    for (int column = 0; column < channelsOut; column += vectorsOfColumns * lanes)
    {
      for (int row = 0; row < rows; row += IMPACT_ROWS)
      {
        const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(row) * channelsIn;
        float * const        to = out + static_cast<std::ptrdiff_t>(row) * channelsOut + column;
        const float * const  w = weights + column;
        addProduct<Part::Real>(in + from, w, to, outPitch, channelsIn, channelsOut);
        if (!isReal)
        {
          addProduct<Part::Imaginary>(in + inPitch + from, w + imaginary, to, outPitch, channelsIn, channelsOut);
          addProduct<Part::Sum>(sums + from, w, to, outPitch, channelsIn, channelsOut);
        }
      }
    }
    in += frequencyPitch(2 * inPitch);
    out += frequencyPitch(2 * outPitch);
    weights += 2 * imaginary;
  }
}

} // namespace
} // namespace impact
