#include "impact/chain/spectrum.h"

#include "impact/base/workers.h"

#include <algorithm>
#include <cmath>

namespace impact
{

SpectrumShape
SpectrumShape::of(const std::array<std::int32_t, 3> & length)
{
  SpectrumShape result;
  result.length = length;
  const auto [nx, ny, nz] = length;
  const auto place = [ny = ny, nz = nz](int x, int y, int z) {
    return static_cast<std::size_t>((x * ny + y) * nz + z);
  };
  // In the planes of kx = 0 and n / 2 the conjugate of a frequency lies in the same plane; its own, where all are such.
  const auto conjugateOf = [&, nx = nx, ny = ny, nz = nz](int x, int y, int z) {
    return x == 0 || x == nx / 2 ? place(x, (ny - y) % ny, (nz - z) % nz) : std::size_t(-1);
  };
  result.slots.resize(place(nx / 2 + 1, 0, 0));
  for (const bool real : { true, false })
  {
    for (int x = 0; x <= nx / 2; ++x)
    {
      for (int y = 0; y < ny; ++y)
      {
        for (int z = 0; z < nz; ++z)
        {
          const std::size_t here = place(x, y, z);
          const std::size_t conjugate = conjugateOf(x, y, z);
          if (real != (conjugate == here))
          {
            continue;
          }
          if (conjugate < here)
          {
            result.slots[here] = -1 - result.slots[conjugate];
          }
          else
          {
            result.slots[here] = static_cast<std::int32_t>(result.frequencies.size());
            result.frequencies.push_back({ x, y, z });
          }
        }
      }
    }
    if (real)
    {
      result.realCount = static_cast<std::int32_t>(result.frequencies.size());
    }
  }
  return result;
}

SpectralPlan
SpectrumShape::plan() const
{
  SpectralPlan plan{};
  std::copy(length.begin(), length.end(), plan.length);
  plan.numberOfFrequencies = static_cast<std::int32_t>(frequencies.size());
  plan.numberOfRealFrequencies = realCount;
  plan.slots = slots.data();
  return plan;
}

void
spectrumOf(const SpectrumShape &   shape,
           const SpectrumTaps &    taps,
           bool                    conjugate,
           const SpectralKernels & kernels,
           float *                 to)
{
  // sum over the taps t of weight(t) exp(2 pi i k (t - 1) / n), over the number of voxels.
  const auto &        length = shape.length;
  const std::int64_t  count = taps.kernel[0] * taps.kernel[1] * taps.kernel[2];
  const double        scale = 1.0 / (static_cast<double>(length[0]) * length[1] * length[2]);
  std::vector<double> waves;
  for (const auto & frequency : shape.frequencies)
  {
    for (std::int64_t tap = 0; tap < count; ++tap)
    {
      const std::array<std::int64_t, 3> t{ tap % taps.kernel[0],
                                           tap / taps.kernel[0] % taps.kernel[1],
                                           tap / taps.kernel[0] / taps.kernel[1] };
      double                            turns = 0.0;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const auto fromCentre = static_cast<double>(t[axis] - taps.padding[axis]);
        turns += fromCentre * frequency[axis] / length[axis];
      }
      waves.push_back(scale * std::cos(2.0 * M_PI * turns));
      waves.push_back((conjugate ? -scale : scale) * std::sin(2.0 * M_PI * turns));
    }
  }
  const SpectralTaps plan{
    taps.weights, taps.perTap, static_cast<std::int32_t>(count), static_cast<std::int32_t>(shape.frequencies.size()),
    waves.data(), to
  };
  constexpr std::int64_t perTask = 8 * weightsAtOnce;
  inParallel((taps.perTap + perTask - 1) / perTask, [&](std::int64_t task) {
    const std::int64_t end = std::min(taps.perTap, (task + 1) * perTask);
    for (std::int64_t first = task * perTask; first < end; first += weightsAtOnce)
    {
      kernels.transformTaps(plan, first);
    }
  });
}

} // namespace impact
