#include "processors.h"

#include "impact/kernels/bending_energy.h"

#include <array>
#include <functional>

using namespace impact;
using namespace impact::unit;

namespace
{

const auto all = compiledFor(IMPACT_OF_EACH_KIND(bendingKernels));

const ControlPoints grids[]{ { 3, { 9, 6, 5 }, { 3.0, 4.5, 7.0 } },
                             { 3, { 4, 19, 8 }, { 10.0, 10.0, 2.5 } },
                             { 3, { 16, 4, 7 }, { 1.0, 0.5, 2.0 } },
                             { 2, { 11, 7, 1 }, { 3.0, 4.5, 1.0 } } };

std::size_t
perComponent(const ControlPoints & points)
{
  return static_cast<std::size_t>(points.size[0] * points.size[1] * points.size[2]);
}

/** The cubic B-spline or a derivative of it, by its pieces; not by the table that the energy takes. */
double
spline(double t, int order)
{
  const double x = std::abs(t);
  const double sign = t < 0.0 ? -1.0 : 1.0;
  if (x >= 2.0)
  {
    return 0.0;
  }
  const double y = 2.0 - x;
  switch (order)
  {
    case 0:
      return x < 1.0 ? 2.0 / 3.0 - x * x + 0.5 * x * x * x : y * y * y / 6.0;
    case 1:
      return sign * (x < 1.0 ? -2.0 * x + 1.5 * x * x : -0.5 * y * y);
    default:
      return x < 1.0 ? -2.0 + 3.0 * x : y;
  }
}

/** By Gauss' rule of four points along each axis of each cell, which is exact for polynomials of degree 7; the squares
 * have 6. */
double
quadrature(const ControlPoints & points, const std::vector<double> & coefficients)
{
  constexpr std::array nodes{ -0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526 };
  constexpr std::array weights{ 0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538 };
  const bool           is3D = points.dimension == 3;
  const std::int64_t   cells[3]{ points.size[0] - 3, points.size[1] - 3, is3D ? points.size[2] - 3 : 1 };
  double               sum = 0.0;
  for (std::int64_t place = 0; place < 64 * cells[0] * cells[1] * cells[2]; ++place)
  {
    const std::int64_t cell = place / 64;
    const std::int64_t first[3]{ cell % cells[0], cell / cells[0] % cells[1], cell / cells[0] / cells[1] };
    double             weight = 1.0 / static_cast<double>(cells[0] * cells[1] * cells[2]);
    double             along[3][3][4]; // axis, order, control point
    for (int axis = 0; axis < 3; ++axis)
    {
      const auto node = static_cast<std::size_t>(place >> (2 * axis) & 3);
      weight *= 0.5 * weights[node];
      for (int order = 0; order < 3; ++order)
      {
        for (int i = 0; i < 4; ++i)
        {
          along[axis][order][i] = axis < points.dimension ? spline(0.5 * (nodes[node] + 1.0) + 1.0 - i, order) /
                                                              std::pow(points.spacing[axis], order)
                                                          : (order == 0 && i == 0 ? 1.0 : 0.0);
        }
      }
    }
    for (int component = 0; component < points.dimension; ++component)
    {
      for (int a = 0; a < points.dimension; ++a)
      {
        for (int b = 0; b < points.dimension; ++b)
        {
          int orders[3]{};
          ++orders[a];
          ++orders[b];
          double second = 0.0;
          for (int z = 0; z < (is3D ? 4 : 1); ++z)
          {
            for (int y = 0; y < 4; ++y)
            {
              for (int x = 0; x < 4; ++x)
              {
                const std::int64_t at =
                  first[0] + x + points.size[0] * (first[1] + y + points.size[1] * (is3D ? first[2] + z : 0));
                second += along[0][orders[0]][x] * along[1][orders[1]][y] * along[2][orders[2]][z] *
                          coefficients[perComponent(points) * static_cast<std::size_t>(component) +
                                       static_cast<std::size_t>(at)];
              }
            }
          }
          sum += weight * second * second;
        }
      }
    }
  }
  return sum;
}

/** Coefficients made of where the control points are, mm. */
std::vector<double>
coefficientsOf(const ControlPoints & points, const std::function<double(int component, const double * place)> & value)
{
  std::vector<double> result;
  for (int component = 0; component < points.dimension; ++component)
  {
    for (std::size_t i = 0; i < perComponent(points); ++i)
    {
      const auto   at = static_cast<std::int64_t>(i);
      const double place[3]{ points.spacing[0] * static_cast<double>(at % points.size[0]),
                             points.spacing[1] * static_cast<double>(at / points.size[0] % points.size[1]),
                             points.spacing[2] * static_cast<double>(at / points.size[0] / points.size[1]) };
      result.push_back(value(component, place));
    }
  }
  return result;
}

} // namespace

// Sums along the axes are in single precision: some 1e-7 of the largest of what is added up.
TEST_CASE("The bending energy is that of a quadrature, and its derivative that of differences")
{
  Workers one(1);
  for (const ControlPoints & points : grids)
  {
    CAPTURE(points.size[0]);
    Numbers                   numbers(3);
    const std::vector<double> coefficients =
      numbers.many<double>(static_cast<std::size_t>(points.dimension) * perComponent(points), -4.0, 4.0);
    const double expected = quadrature(points, coefficients);
    for (const auto & [name, kernels] : all)
    {
      CAPTURE(name);
      BendingEnergy       energy(points, kernels);
      std::vector<double> derivative(coefficients.size(), 0.5); // what is there, stays
      CHECK(energy.evaluate(coefficients.data(), 3.0, derivative.data(), one) ==
            doctest::Approx(expected).epsilon(1e-6));
      CHECK(energy.evaluate(coefficients.data(), 3.0, nullptr, one) == doctest::Approx(expected).epsilon(1e-6));
      std::vector<double> differences(coefficients.size());
      for (std::size_t i = 0; i < coefficients.size(); ++i) // of a quadratic form: exact for any step
      {
        std::vector<double> moved = coefficients;
        moved[i] += 1.0;
        const double up = energy.evaluate(moved.data(), 0.0, nullptr, one);
        moved[i] -= 2.0;
        differences[i] = 0.5 + 3.0 * (up - energy.evaluate(moved.data(), 0.0, nullptr, one)) / 2.0;
      }
      CHECK(relativeError(derivative, differences) < 5e-6);
    }
  }
}

TEST_CASE("What is affine costs nothing, what is quadratic what its second derivatives are")
{
  Workers one(1);
  for (const ControlPoints & points : grids)
  {
    CAPTURE(points.size[0]);
    const auto affine = coefficientsOf(points, [](int component, const double * x) {
      return 7.0 + component - 0.3 * x[0] + 0.2 * (component + 1) * x[1] + 0.1 * x[2];
    });
    // A cubic B-spline with the squares of its places as coefficients is that square, and a constant.
    const auto   quadratic = coefficientsOf(points, [&](int component, const double * x) {
      return component == 0          ? 0.05 * x[0] * x[0] + 0.02 * x[0] * x[1]
             : points.dimension == 3 ? 0.03 * x[2] * x[1]
                                     : 0.0;
    });
    const double expected = 0.1 * 0.1 + 2.0 * 0.02 * 0.02 + (points.dimension == 3 ? 2.0 * (2.0 * 0.03 * 0.03) : 0.0);
    for (const auto & [name, kernels] : all)
    {
      CAPTURE(name);
      BendingEnergy       energy(points, kernels);
      std::vector<double> derivative(affine.size(), 0.0);
      CHECK(std::abs(energy.evaluate(affine.data(), 1.0, derivative.data(), one)) < 1e-20);
      CHECK(relativeError(derivative, std::vector<double>(affine.size(), 0.0)) < 1e-10);
      CHECK(energy.evaluate(quadratic.data(), 1.0, nullptr, one) == doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("The bending energy is the same to the bit for every number of threads")
{
  const ControlPoints       points{ 3, { 13, 11, 17 }, { 3.0, 4.5, 7.0 } };
  Numbers                   numbers(4);
  const std::vector<double> coefficients = numbers.many<double>(3 * perComponent(points), -4.0, 4.0);
  std::vector<double>       values;
  std::vector<double>       derivatives[3];
  for (const int threads : { 1, 2, 5 })
  {
    Workers               workers(threads);
    BendingEnergy         energy(points);
    std::vector<double> & derivative = derivatives[values.size()];
    derivative.resize(coefficients.size());
    values.push_back(energy.evaluate(coefficients.data(), 1.0, derivative.data(), workers));
  }
  CHECK(values == std::vector<double>(3, values[0]));
  CHECK(derivatives[0] == derivatives[1]);
  CHECK(derivatives[0] == derivatives[2]);
}
