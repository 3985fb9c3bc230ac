#include "linear_interpolation.h"

#include <algorithm>
#include <cmath>

namespace impact
{

float
LinearInterpolation::evaluate(const Vector & point, Vector * gradient) const
{
  const Grid & grid = m_Image.grid;
  const Vector fromOrigin{ point[0] - grid.origin[0], point[1] - grid.origin[1], point[2] - grid.origin[2] };
  const Vector index = multiply(m_PhysicalToIndex, fromOrigin);
  Vector       fraction{};
  Vector       inside{};
  std::int64_t base = 0;
  std::int64_t stride = 1;
  std::array<std::int64_t, 3> step{};
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    const auto   last = static_cast<double>(grid.size[axis] - 1);
    const double place = index[axis] > 0.0 ? std::min(index[axis], last) : 0.0; // also of what is no number
    const double lower = std::max(0.0, std::min(std::floor(place), last - 1.0));
    fraction[axis] = place - lower;
    inside[axis] = index[axis] >= 0.0 && index[axis] <= last ? 1.0 : 0.0;
    step[axis] = grid.size[axis] > 1 ? stride : 0;
    base += static_cast<std::int64_t>(lower) * stride;
    stride *= grid.size[axis];
  }

  const float * const corner = m_Image.pixels + base;
  const auto          along = [&](std::int64_t offset) {
    const double a = corner[offset];
    const double b = corner[offset + step[0]];
    return std::pair<double, double>{ a + fraction[0] * (b - a), b - a };
  };
  const auto [v00, d00] = along(0);
  const auto [v10, d10] = along(step[1]);
  const auto [v01, d01] = along(step[2]);
  const auto [v11, d11] = along(step[1] + step[2]);
  const double v0 = v00 + fraction[1] * (v10 - v00);
  const double v1 = v01 + fraction[1] * (v11 - v01);
  if (gradient)
  {
    const auto   mix = [](double a, double b, double t) { return a + t * (b - a); };
    const Vector perIndex{ inside[0] * mix(mix(d00, d10, fraction[1]), mix(d01, d11, fraction[1]), fraction[2]),
                           inside[1] * mix(v10 - v00, v11 - v01, fraction[2]),
                           inside[2] * (v1 - v0) };
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      (*gradient)[axis] = m_PhysicalToIndex[0][axis] * perIndex[0] + m_PhysicalToIndex[1][axis] * perIndex[1] +
                          m_PhysicalToIndex[2][axis] * perIndex[2];
    }
  }
  return static_cast<float>(v0 + fraction[2] * (v1 - v0));
}

} // namespace impact
