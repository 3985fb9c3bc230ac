#include "impact/chain/spectrum.h"

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

std::vector<float>
spectrumOf(const SpectrumShape & shape, const SpectrumTaps & taps, bool conjugate)
{
  // sum over the taps t of weight(t) exp(2 pi i k (t - 1) / n), over the number of voxels. Added up here, in order:
  // torch's products of matrices may round otherwise with another number of threads.
  const auto &        length = shape.length;
  const auto          perTap = static_cast<std::size_t>(taps.perTap);
  const std::int64_t  count = taps.kernel[0] * taps.kernel[1] * taps.kernel[2];
  const double        scale = 1.0 / (static_cast<double>(length[0]) * length[1] * length[2]);
  std::vector<double> re(perTap);
  std::vector<double> im(perTap);
  std::vector<float>  all(shape.frequencies.size() * 2 * perTap);
  auto                to = all.begin();
  for (const auto & frequency : shape.frequencies)
  {
    std::fill(re.begin(), re.end(), 0.0);
    std::fill(im.begin(), im.end(), 0.0);
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
      const double        cosine = scale * std::cos(2.0 * M_PI * turns);
      const double        sine = (conjugate ? -scale : scale) * std::sin(2.0 * M_PI * turns);
      const float * const ofTap = taps.weights + tap * taps.perTap;
      for (std::size_t i = 0; i < perTap; ++i)
      {
        re[i] += cosine * ofTap[i];
        im[i] += sine * ofTap[i];
      }
    }
    to = std::copy(re.begin(), re.end(), to);
    to = std::copy(im.begin(), im.end(), to);
  }
  return all;
}

} // namespace impact
