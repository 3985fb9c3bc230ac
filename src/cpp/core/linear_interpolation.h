#pragma once

#include "geometry.h"

namespace impact
{

/** Linear interpolation of an image at physical points, with its exact derivative.
 *
 * Beyond the outermost voxel centres the edge's value holds and the derivative across the edge is zero. Thread-safe. */
class LinearInterpolation
{
public:
  LinearInterpolation() = default;
  explicit LinearInterpolation(const ImageView & image)
    : m_Image(image)
    , m_PhysicalToIndex(image.grid.physicalToIndex())
  {}

  /** \param gradient null, or receives d(value)/d(point), per mm. */
  float evaluate(const Vector & point, Vector * gradient) const;

private:
  ImageView m_Image;
  Matrix    m_PhysicalToIndex{};
};

} // namespace impact
