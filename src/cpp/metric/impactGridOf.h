#ifndef impactGridOf_h
#define impactGridOf_h

#include "geometry.h"

namespace impact
{

/** The geometry of an ITK image of two or three dimensions, of its buffered region. */
template <typename TImage>
Grid
GridOf(const TImage & image)
{
  constexpr unsigned int dimension = TImage::ImageDimension;
  static_assert(dimension == 2 || dimension == 3, "two or three dimensions");

  const auto region = image.GetBufferedRegion();
  Grid       grid;
  grid.dimension = dimension;
  typename TImage::PointType first;
  image.TransformIndexToPhysicalPoint(region.GetIndex(), first);
  for (unsigned int i = 0; i < dimension; ++i)
  {
    grid.size[i] = static_cast<std::int64_t>(region.GetSize(i));
    grid.spacing[i] = image.GetSpacing()[i];
    grid.origin[i] = first[i];
    for (unsigned int j = 0; j < dimension; ++j)
    {
      grid.direction[i][j] = image.GetDirection()(i, j);
    }
  }
  return grid;
}

} // namespace impact

#endif
