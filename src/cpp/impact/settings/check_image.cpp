#include "impact/settings/check_image.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace impact
{
namespace
{

std::string
listed(const Vector & values, int dimension)
{
  std::ostringstream text;
  for (int i = 0; i < dimension; ++i)
  {
    text << (i == 0 ? "" : " ") << values[static_cast<std::size_t>(i)];
  }
  return text.str();
}

/** Whether the axes are unit vectors at right angles to each other. */
bool
isOrthonormal(const Matrix & direction)
{
  constexpr double tolerance = 1e-3; // headers have some digits only
  for (std::size_t a = 0; a < 3; ++a)
  {
    for (std::size_t b = a; b < 3; ++b)
    {
      double product = 0.0;
      for (std::size_t i = 0; i < 3; ++i)
      {
        product += direction[i][a] * direction[i][b];
      }
      if (!(std::abs(product - (a == b ? 1.0 : 0.0)) <= tolerance))
      {
        return false;
      }
    }
  }
  return true;
}

} // namespace

std::vector<Finding>
checkImage(const ImageView & image, const std::string & name)
{
  const Grid &         grid = image.grid;
  std::vector<Finding> findings;
  const auto           add = [&](Finding::Severity severity, const std::string & text, const std::string & remedy) {
    findings.push_back({ { Problem::Kind::Image, text, remedy }, severity });
  };
  if (grid.numberOfVoxels() == 0)
  {
    add(Finding::Severity::Error,
        name + " is empty: its size is " + std::to_string(grid.size[0]) + " x " + std::to_string(grid.size[1]) +
          (grid.dimension == 2 ? "" : " x " + std::to_string(grid.size[2])) + " voxels.",
        "");
    return findings;
  }
  const auto isFinite = [](double value) { return std::isfinite(value); };
  if (!std::all_of(grid.origin.begin(), grid.origin.end(), isFinite) ||
      !std::all_of(grid.spacing.begin(), grid.spacing.end(), isFinite))
  {
    add(Finding::Severity::Error,
        name + " has the origin " + listed(grid.origin, grid.dimension) + " mm and the spacing " +
          listed(grid.spacing, grid.dimension) + " mm.",
        "Allowed: finite numbers. Correct the image's header.");
    return findings;
  }
  if (!isOrthonormal(grid.direction))
  {
    std::string rows;
    for (int i = 0; i < grid.dimension; ++i)
    {
      rows += (i == 0 ? "" : ", ") + listed(grid.direction[static_cast<std::size_t>(i)], grid.dimension);
    }
    add(Finding::Severity::Error,
        name +
          " has axes that are no unit vectors at right angles to each other: its direction cosines are, row by row, " +
          rows + ".",
        "Resample it onto a grid without shear, or correct its header.");
  }
  for (int axis = 0; axis < grid.dimension; ++axis)
  {
    const auto   i = static_cast<std::size_t>(axis);
    const double farthest = std::abs(grid.origin[i]) + grid.extent(axis);
    if (farthest * std::numeric_limits<double>::epsilon() > 1e-3 * grid.spacing[i])
    {
      add(Finding::Severity::Error,
          name + " lies too far from the origin of space for its voxels to be told apart: its origin is " +
            listed(grid.origin, grid.dimension) + " mm, its spacing " + listed(grid.spacing, grid.dimension) + " mm.",
          "Correct the image's header.");
      break;
    }
  }
  std::int64_t wrong = 0;
  float        least = std::numeric_limits<float>::infinity();
  float        greatest = -least;
  for (std::int64_t i = 0; i < grid.numberOfVoxels(); ++i)
  {
    const float value = image.pixels[i];
    wrong += std::isfinite(value) ? 0 : 1;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  if (wrong > 0)
  {
    add(Finding::Severity::Error,
        name + " has " + std::to_string(wrong) + " voxels that are NaN or infinite, or beyond single precision.",
        "Give them a value first, for instance with "
        "numpy.nan_to_num.");
  }
  else if (least == greatest)
  {
    std::ostringstream value;
    value << least;
    add(Finding::Severity::Warning,
        name + " is constant, every voxel is " + value.str() + ": there is nothing in it to align.",
        "");
  }
  return findings;
}

} // namespace impact
