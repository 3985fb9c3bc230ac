#include "impact/kernels/bending_energy.h"

#include "impact/kernels/processor.h"
#include "impact/kernels/spline_polynomials.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace impact
{
namespace
{

/** Numbers of a plane that are worked on through all planes: those around them then stay in the cache. */
constexpr std::int64_t perPart = 64;

using Cell = std::array<std::array<double, 4>, 4>;

/** The integrals over one cell of products of the weights' derivatives of that order. */
Cell
integralsOverCell(int order)
{
  Cell polynomials{}; // of each weight, of t^0 on
  for (std::size_t power = 0; power < 4; ++power)
  {
    for (std::size_t i = 0; i < 4; ++i)
    {
      polynomials[i][power] = splinePolynomials[power][i];
    }
  }
  for (int n = 0; n < order; ++n)
  {
    for (auto & polynomial : polynomials)
    {
      for (std::size_t power = 0; power < 4; ++power)
      {
        polynomial[power] = power < 3 ? static_cast<double>(power + 1) * polynomial[power + 1] : 0.0;
      }
    }
  }
  Cell result{};
  for (std::size_t i = 0; i < 4; ++i)
  {
    for (std::size_t j = 0; j < 4; ++j)
    {
      for (std::size_t p = 0; p < 4; ++p)
      {
        for (std::size_t q = 0; q < 4; ++q)
        {
          result[i][j] += polynomials[i][p] * polynomials[j][q] / static_cast<double>(p + q + 1);
        }
      }
    }
  }
  return result;
}

/** The matrix along one axis, seven weights for each control point. Those of first derivatives have a root of 2 in
 * them, which makes mixed terms count twice. */
std::vector<double>
bandOf(int order, std::int64_t size, double spacing)
{
  std::vector<double> band(static_cast<std::size_t>(bendingTaps * size), 0.0);
  if (size == 1) // 2D
  {
    band[bendingTaps / 2] = order == 0 ? 1.0 : 0.0;
    return band;
  }
  const Cell   cell = integralsOverCell(order);
  const double scale =
    (order == 1 ? std::sqrt(2.0) : 1.0) / std::pow(spacing, 2 * order) / static_cast<double>(size - 3);
  for (std::int64_t first = 0; first + 3 < size; ++first)
  {
    for (int i = 0; i < 4; ++i)
    {
      for (int j = 0; j < 4; ++j)
      {
        band[static_cast<std::size_t>(bendingTaps * (first + i) + bendingTaps / 2 + j - i)] +=
          scale * cell[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      }
    }
  }
  return band;
}

/** Of one component: what is affine by its first control point and the last one along each axis. */
BendingTrend
trendOf(const BendingBands & bands, const double * coefficients)
{
  BendingTrend trend{ coefficients[0], {} };
  std::int64_t step = 1;
  for (int axis = 0; axis < 3; step *= bands.size[axis], ++axis)
  {
    const std::int64_t intervals = bands.size[axis] - 1;
    trend.slopes[axis] =
      intervals > 0 ? (coefficients[step * intervals] - coefficients[0]) / static_cast<double>(intervals) : 0.0;
  }
  return trend;
}

/** \param least numbers that there is to be room for */
std::int64_t
planeSizeOf(std::int64_t least)
{
  constexpr std::int64_t perLine = 64 / sizeof(float);
  const std::int64_t     lines = (least + perLine - 1) / perLine;
  return perLine * (lines + (13 - lines % 8) % 8); // 8 n + 5: planes then lie as far apart in the cache as they may
}

} // namespace

BendingEnergy::BendingEnergy(const ControlPoints & points, const BendingKernels & kernels)
  : m_Kernels(kernels)
  , m_Dimension(points.dimension)
{
  std::copy_n(points.size, 3, m_Bands.size);
  m_Bands.rowSize = (points.size[0] + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  m_Bands.planeSize = planeSizeOf(points.size[1] * m_Bands.rowSize + kernels.lanes + bendingTaps);
  for (int axis = 0; axis < 3; ++axis)
  {
    for (int order = 0; order < 3; ++order)
    {
      const std::vector<double> band = bandOf(order, points.size[axis], points.spacing[axis]);
      std::vector<float> &      weights = m_Weights[axis][order];
      weights.assign(band.begin(), band.end());
      if (axis > 0)
      {
        (axis == 1 ? m_Bands.alongY : m_Bands.alongZ)[order] = weights.data();
        continue;
      }
      weights.assign(static_cast<std::size_t>(bendingTaps * m_Bands.rowSize), 0.0F);
      for (std::size_t i = 0; i < band.size(); ++i)
      {
        weights[i % bendingTaps * static_cast<std::size_t>(m_Bands.rowSize) + i / bendingTaps] = band[i];
      }
      m_Bands.alongX[order] = weights.data();
    }
  }
  const std::int64_t numberOfParts = (points.size[0] * points.size[1] + perPart - 1) / perPart;
  m_Sums.resize(static_cast<std::size_t>(m_Dimension * numberOfParts));
  m_Between.resize(static_cast<std::size_t>(3 * m_Dimension * points.size[2] * m_Bands.planeSize));
}

BendingEnergy::BendingEnergy(const ControlPoints & points)
  : BendingEnergy(points, bendingKernels())
{}

double
BendingEnergy::evaluate(const double * coefficients, double weight, double * derivative, Workers & workers)
{
  const std::int64_t plane = m_Bands.size[0] * m_Bands.size[1];
  const std::int64_t numberOfPlanes = m_Bands.size[2];
  const std::int64_t between = 3 * m_Bands.planeSize;
  for (int component = 0; component < m_Dimension; ++component)
  {
    m_Trends[component] = trendOf(m_Bands, coefficients + component * plane * numberOfPlanes);
  }
  workers.run(m_Dimension * numberOfPlanes, [&](std::int64_t n) {
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<std::size_t>(4 * m_Bands.planeSize));
    BendingTrend trend = m_Trends[n / numberOfPlanes];
    trend.value += static_cast<double>(n % numberOfPlanes) * trend.slopes[2];
    m_Kernels.inPlane(m_Bands, coefficients + n * plane, trend, m_Between.data() + n * between, scratch.data());
  });
  const std::int64_t numberOfParts = (plane + perPart - 1) / perPart;
  workers.run(m_Dimension * numberOfParts, [&](std::int64_t n) {
    const std::int64_t component = n / numberOfParts;
    const std::int64_t begin = n % numberOfParts * perPart;
    const std::int64_t first = component * numberOfPlanes;
    m_Sums[static_cast<std::size_t>(n)] = m_Kernels.acrossPlanes(m_Bands,
                                                                 coefficients + first * plane,
                                                                 m_Trends[component],
                                                                 m_Between.data() + first * between,
                                                                 begin,
                                                                 std::min(plane, begin + perPart),
                                                                 2.0 * weight,
                                                                 derivative ? derivative + first * plane : nullptr);
  });
  return std::accumulate(m_Sums.begin(), m_Sums.end(), 0.0);
}

} // namespace impact
