#pragma once

// Where points lie among the control points of a cubic B-spline, and which lie in the same cell. No other headers: see
// geometry_kernels.h.
#include "impact/kernels/geometry_kernels.h"
#include "impact/kernels/spline_polynomials.h"

namespace impact
{
namespace
{

/** Two control points side by side: x, y, z, 0 of each. */
using Pair = double __attribute__((vector_size(64)));
using LoosePair = double __attribute__((vector_size(64), aligned(8), may_alias));

inline Pair
loadPair(const double * from)
{
  return *reinterpret_cast<const LoosePair *>(from);
}

inline Pair
pairOf(double first, double second)
{
  return Pair{ first, first, first, first, second, second, second, second };
}

using Eight = double __attribute__((vector_size(64)));

/** Points that lie between the same control points are worked on together: so many are looked at at once, */
constexpr int block = 256;
/** and so many different places are told apart; points elsewhere are done one by one, as are points all alone. */
constexpr int mostCells = 16;
constexpr int fewest = 3;

constexpr std::int64_t outside = -1;

/** Where some points lie in the grid, and which of them lie in the same place. */
struct Places
{
  double       fraction[3][block];
  std::int64_t first[block]; // the number of the first control point around it, or outside

  int          order[block]; // the points, cell by cell; those of no cell last
  int          begin[mostCells + 2];
  std::int64_t cell[mostCells];
  int          numberOfCells;
};

/** x -> toIndex (matrix x + offset - origin), as one matrix and offset. */
struct ToIndex
{
  double matrix[9];
  double offset[3];

  explicit ToIndex(const BSplineGrid & grid)
  {
    for (int i = 0; i < 3; ++i)
    {
      offset[i] = 0.0;
      for (int j = 0; j < 3; ++j)
      {
        matrix[3 * i + j] = 0.0;
        for (int k = 0; k < 3; ++k)
        {
          matrix[3 * i + j] += grid.toIndex[3 * i + k] * grid.matrix[3 * k + j];
        }
        offset[i] += grid.toIndex[3 * i + j] * (grid.offset[j] - grid.origin[j]);
      }
    }
  }
};

/** Whole numbers not above values up to 2^51 in size, by what rounding leaves. */
inline Eight
wholeBelow(Eight value)
{
  constexpr double shift = 6755399441055744.0; // 2^52 + 2^51
  const Eight      rounded = (value + shift) - shift;
  return rounded > value ? rounded - 1.0 : rounded;
}

/** The coordinates of eight points along the axes. */
inline void
loadPoints(const double * points, Eight (&x)[3])
{
  for (int i = 0; i < 3; ++i)
  {
    x[i] = Eight{ points[i],      points[3 + i],  points[6 + i],  points[9 + i],
                  points[12 + i], points[15 + i], points[18 + i], points[21 + i] };
  }
}

template <bool Is3D>
void
locate(const BSplineGrid & grid, const ToIndex & toIndex, const double * points, int count, Places & places)
{
  for (int begin = 0; begin < count; begin += 8)
  {
    double         last[24];
    const double * from = points + 3 * begin;
    if (count - begin < 8)
    {
      for (int i = 0; i < 24; ++i)
      {
        const int n = i / 3 < count - begin ? i / 3 : count - begin - 1;
        last[i] = from[3 * n + i % 3];
      }
      from = last;
    }
    Eight x[3];
    loadPoints(from, x);
    Eight  first{};
    auto   inside = x[0] == x[0]; // what is no number is nowhere
    double stride = 1.0;
    for (int axis = 0; axis < (Is3D ? 3 : 2); ++axis)
    {
      const double * const m = toIndex.matrix + 3 * axis;
      const Eight          index = m[0] * x[0] + m[1] * x[1] + m[2] * x[2] + toIndex.offset[axis];
      inside = inside & (index >= 1.0) & (index < static_cast<double>(grid.size[axis] - 2));
      const Eight below = wholeBelow(index);
      const Eight fraction = index - below;
      for (int i = 0; i < 8; ++i)
      {
        places.fraction[axis][begin + i] = fraction[i];
      }
      first += (below - 1.0) * stride;
      stride *= static_cast<double>(grid.size[axis]);
    }
    first = inside ? first : Eight{} + static_cast<double>(outside);
    for (int i = 0; i < 8; ++i)
    {
      places.first[begin + i] = static_cast<std::int64_t>(first[i]);
    }
  }

  // Sorted by cell, in their order within one.
  unsigned char cellOf[block];
  int           numbers[mostCells + 1] = {};
  int           cells = 0;
  int           c = 0;
  for (int n = 0; n < count; ++n)
  {
    const std::int64_t first = places.first[n];
    if (cells == 0 || c == mostCells || places.cell[c] != first)
    {
      for (c = 0; c < cells && places.cell[c] != first; ++c)
      {
      }
      if (c == cells && cells < mostCells)
      {
        places.cell[cells++] = first;
      }
    }
    cellOf[n] = static_cast<unsigned char>(c);
    ++numbers[c];
  }
  int begin = 0;
  for (int i = 0; i <= mostCells; ++i)
  {
    places.begin[i] = begin;
    begin += numbers[i];
    numbers[i] = places.begin[i];
  }
  places.begin[mostCells + 1] = begin;
  for (int n = 0; n < count; ++n)
  {
    places.order[numbers[cellOf[n]]++] = n;
  }
  places.numberOfCells = cells;
}

/** Calls together(cell, points, number) for points that share a cell, and alone(point) for the others inside. */
template <typename Together, typename Alone>
inline void
forCells(const Places & places, const Together & together, const Alone & alone)
{
  for (int c = 0; c <= mostCells; ++c)
  {
    const int         number = places.begin[c + 1] - places.begin[c];
    const int * const points = places.order + places.begin[c];
    if (c < places.numberOfCells && number >= fewest)
    {
      if (places.cell[c] != outside)
      {
        together(places.cell[c], points, number);
      }
      continue;
    }
    for (int i = 0; i < number; ++i)
    {
      if (places.first[points[i]] != outside)
      {
        alone(points[i]);
      }
    }
  }
}

/** The weights along an axis, of several places at once or of one. */
template <typename T>
inline void
weightsAt(T t, T (&weights)[4])
{
  for (int i = 0; i < 4; ++i)
  {
    weights[i] = splinePolynomials[0][i] +
                 t * (splinePolynomials[1][i] + t * (splinePolynomials[2][i] + t * splinePolynomials[3][i]));
  }
}

} // namespace
} // namespace impact
