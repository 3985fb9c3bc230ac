#include "processors.h"

#include "impact/kernels/geometry_kernels.h"

#include <array>

using namespace impact;
using namespace impact::unit;

namespace
{

const auto all = compiledFor(IMPACT_OF_EACH_KIND(geometryKernels));

using Point = std::array<double, 3>;

/** A oblique grid of control points, of three different sizes and spacings, and a linear transform before. */
struct Grid
{
  BSplineGrid         grid{};
  std::vector<double> coefficients;
  Point               spacing{ 3.0, 4.5, 7.0 };

  explicit Grid(int dimension)
  {
    const std::int64_t size[3]{ 7, 8, dimension == 2 ? 1 : 6 };
    const double       angle = 0.4;
    const double       axes[9]{ std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0, 0, 0, 1 };
    for (int i = 0; i < 3; ++i)
    {
      grid.size[i] = size[i];
      grid.origin[i] = 5.0 - 2.0 * i;
      grid.offset[i] = 0.7 * i;
      for (int j = 0; j < 3; ++j)
      {
        grid.toIndex[3 * i + j] = axes[3 * j + i] / spacing[static_cast<std::size_t>(i)];
        grid.matrix[3 * i + j] = i == j ? 1.02 : 0.0;
      }
    }
    if (dimension == 2)
    {
      grid.offset[2] = 0.0;
      grid.origin[2] = 0.0;
      grid.matrix[8] = 1.0;
    }
    Numbers numbers(7);
    coefficients = numbers.many<double>(static_cast<std::size_t>(4 * size[0] * size[1] * size[2]), -2.0, 2.0);
    for (std::size_t i = 3; i < coefficients.size(); i += 4)
    {
      coefficients[i] = 0.0;
      if (dimension == 2)
      {
        coefficients[i - 1] = 0.0;
      }
    }
    grid.coefficients = coefficients.data();
  }
};

Point
linear(const BSplineGrid & grid, const double * point)
{
  Point result{};
  for (std::size_t i = 0; i < 3; ++i)
  {
    result[i] = grid.offset[i];
    for (std::size_t j = 0; j < 3; ++j)
    {
      result[i] += grid.matrix[3 * i + j] * point[j];
    }
  }
  return result;
}

double
cubic(double t)
{
  t = std::abs(t);
  return t < 1.0 ? 2.0 / 3.0 - t * t + t * t * t / 2.0 : t < 2.0 ? std::pow(2.0 - t, 3) / 6.0 : 0.0;
}

/** By its definition: the sum over all control points of the products of cubic B-splines. */
Point
expectedPoint(const BSplineGrid & grid, const double * point)
{
  const Point before = linear(grid, point);
  Point       index{};
  for (std::size_t i = 0; i < 3; ++i)
  {
    for (std::size_t j = 0; j < 3; ++j)
    {
      index[i] += grid.toIndex[3 * i + j] * (before[j] - grid.origin[j]);
    }
  }
  Point result = before;
  for (std::int64_t z = 0; z < grid.size[2]; ++z)
  {
    for (std::int64_t y = 0; y < grid.size[1]; ++y)
    {
      for (std::int64_t x = 0; x < grid.size[0]; ++x)
      {
        const double weight = cubic(index[0] - static_cast<double>(x)) * cubic(index[1] - static_cast<double>(y)) *
                              (grid.size[2] == 1 ? 1.0 : cubic(index[2] - static_cast<double>(z)));
        for (std::size_t i = 0; i < 3; ++i)
        {
          result[i] +=
            weight * grid.coefficients[4 * (x + grid.size[0] * (y + grid.size[1] * z)) + static_cast<std::int64_t>(i)];
        }
      }
    }
  }
  return result;
}

/** Points whose index lies in the inner region, where four control points along each axis are at hand. */
std::vector<double>
pointsWithin(const Grid & of, int dimension, std::size_t count)
{
  Numbers             numbers(11);
  std::vector<double> points;
  while (points.size() < 3 * count)
  {
    const Point where{ numbers(1.05, static_cast<double>(of.grid.size[0]) - 2.05),
                       numbers(1.05, static_cast<double>(of.grid.size[1]) - 2.05),
                       dimension == 2 ? 0.0 : numbers(1.05, static_cast<double>(of.grid.size[2]) - 2.05) };
    // toIndex is orthogonal but for the spacing: its inverse is the transposed, times the spacings squared.
    for (std::size_t i = 0; i < 3; ++i)
    {
      double inSpace = of.grid.origin[i];
      for (std::size_t j = 0; j < 3; ++j)
      {
        inSpace += of.grid.toIndex[3 * j + i] * of.spacing[j] * of.spacing[j] * where[j];
      }
      points.push_back((inSpace - of.grid.offset[i]) / of.grid.matrix[4 * i]);
    }
  }
  return points;
}

} // namespace

TEST_CASE("A B-spline maps points by its definition")
{
  for (const int dimension : { 2, 3 })
  {
    const Grid          of(dimension);
    const auto          points = pointsWithin(of, dimension, 37);
    std::vector<double> expected;
    for (std::size_t n = 0; n < points.size(); n += 3)
    {
      const Point point = expectedPoint(of.grid, points.data() + n);
      expected.insert(expected.end(), point.begin(), point.end());
    }
    for (const auto & [name, kernels] : all)
    {
      CAPTURE(name);
      CAPTURE(dimension);
      std::vector<double> found(points.size());
      kernels.map(of.grid, points.data(), 37, found.data());
      CHECK(relativeError(found, expected) < 1e-6);
    }
  }
}

TEST_CASE("Points outside the inner region of a B-spline stay where the linear transform puts them")
{
  const Grid                of(3);
  const std::vector<double> point{ 1000.0, -500.0, 20.0 };
  const Point               expected = linear(of.grid, point.data());
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<double> found(3);
    kernels.map(of.grid, point.data(), 1, found.data());
    CHECK(relativeError(found, std::vector<double>(expected.begin(), expected.end())) < 1e-12);
  }
}

TEST_CASE("pullBackToCoefficients is the transposed of map")
{
  // map(x) - linear(x) = B c is linear in the coefficients c: g . B c = (B^T g) . c for all g and c.
  for (const int dimension : { 2, 3 })
  {
    const Grid of(dimension);
    const auto points = pointsWithin(of, dimension, 41);
    const auto gradients = Numbers(3).many<double>(points.size(), -1.0, 1.0);
    for (const auto & [name, kernels] : all)
    {
      CAPTURE(name);
      CAPTURE(dimension);
      std::vector<double> mapped(points.size());
      kernels.map(of.grid, points.data(), 41, mapped.data());
      std::vector<double> sums(of.coefficients.size(), 0.0);
      kernels.pullBackToCoefficients(of.grid, points.data(), gradients.data(), 41, sums.data());
      double forth = 0.0;
      double size = 0.0;
      for (std::size_t n = 0; n < points.size(); ++n)
      {
        const Point before = linear(of.grid, points.data() + n / 3 * 3);
        forth += gradients[n] * (mapped[n] - before[n % 3]);
        size += std::abs(gradients[n] * (mapped[n] - before[n % 3]));
      }
      double back = 0.0;
      for (std::size_t n = 0; n < sums.size(); ++n)
      {
        back += sums[n] * of.coefficients[n];
      }
      CHECK(std::abs(forth - back) < 1e-6 * size);
    }
  }
}

TEST_CASE("interpolate is linear between voxels, and its derivative that of the value")
{
  Numbers                  numbers(5);
  const std::int64_t       size[3]{ 6, 5, 4 };
  const std::vector<float> voxels = numbers.many<float>(120, -100.0, 100.0);
  VoxelGrid                grid{ voxels.data(), { size[0], size[1], size[2] }, {}, { 2.0, -1.0, 3.0 } };
  const Point              spacing{ 1.5, 2.0, 3.0 };
  for (int i = 0; i < 3; ++i)
  {
    grid.toIndex[4 * i] = 1.0 / spacing[static_cast<std::size_t>(i)];
  }
  std::vector<double> points;
  std::vector<double> expected;
  std::vector<double> slopes;
  for (int n = 0; n < 53; ++n)
  {
    Point                       fraction{};
    std::array<std::int64_t, 3> first{};
    for (std::size_t i = 0; i < 3; ++i)
    {
      const double index = numbers(0.01, static_cast<double>(size[i]) - 1.01);
      points.push_back(grid.origin[i] + index * spacing[i]);
      first[i] = static_cast<std::int64_t>(index);
      fraction[i] = index - static_cast<double>(first[i]);
    }
    double value = 0.0;
    Point  slope{};
    for (int corner = 0; corner < 8; ++corner)
    {
      const std::int64_t at[3]{ first[0] + (corner & 1), first[1] + (corner >> 1 & 1), first[2] + (corner >> 2) };
      const double       voxel = voxels[static_cast<std::size_t>(at[0] + size[0] * (at[1] + size[1] * at[2]))];
      Point              weights{};
      for (std::size_t i = 0; i < 3; ++i)
      {
        weights[i] = corner >> i & 1 ? fraction[i] : 1.0 - fraction[i];
      }
      value += voxel * weights[0] * weights[1] * weights[2];
      for (std::size_t i = 0; i < 3; ++i)
      {
        const double others = weights[(i + 1) % 3] * weights[(i + 2) % 3];
        slope[i] += voxel * others * (corner >> i & 1 ? 1.0 : -1.0) / spacing[i];
      }
    }
    expected.push_back(value);
    slopes.insert(slopes.end(), slope.begin(), slope.end());
  }
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<float> values(53);
    std::vector<float> gradients(3 * 53);
    kernels.interpolate(grid, points.data(), 53, values.data(), gradients.data());
    CHECK(relativeError(values, expected) < 1e-5);
    CHECK(relativeError(gradients, slopes) < 1e-5);
    std::vector<float> alone(53);
    kernels.interpolate(grid, points.data(), 53, alone.data(), nullptr);
    CHECK(alone == values);
  }
}

TEST_CASE("Beyond the outermost voxels the edge's value holds, without a slope across it")
{
  const std::vector<float> voxels{ 1, 2, 3, 4, 5, 6, 7, 8 };
  VoxelGrid                grid{ voxels.data(), { 2, 2, 2 }, { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, { 0, 0, 0 } };
  const double             points[]{ -3, 0, 0, 9, 1, 1, 0.5, -2, 0 };
  for (const auto & [name, kernels] : all)
  {
    CAPTURE(name);
    std::vector<float> values(3);
    std::vector<float> gradients(9);
    kernels.interpolate(grid, points, 3, values.data(), gradients.data());
    CHECK(values == std::vector<float>{ 1.0F, 8.0F, 1.5F });
    CHECK(gradients[0] == 0.0F);
    CHECK(gradients[3] == 0.0F);
    CHECK(gradients[7] == 0.0F);
    CHECK(gradients[6] == 1.0F);
  }
}
