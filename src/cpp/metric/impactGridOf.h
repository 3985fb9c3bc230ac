#ifndef impactGridOf_h
#define impactGridOf_h

#include "itkIntTypes.h"

#include "impact/base/geometry.h"

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

/** Gives an image the geometry of a grid; its pixels are the caller's matter. */
template <typename TImage>
void
SetGrid(TImage & image, const Grid & grid)
{
  typename TImage::SizeType      size;
  typename TImage::SpacingType   spacing;
  typename TImage::PointType     origin;
  typename TImage::DirectionType direction;
  for (unsigned int i = 0; i < TImage::ImageDimension; ++i)
  {
    size[i] = static_cast<itk::SizeValueType>(grid.size[i]);
    spacing[i] = grid.spacing[i];
    origin[i] = grid.origin[i];
    for (unsigned int j = 0; j < TImage::ImageDimension; ++j)
    {
      direction(i, j) = grid.direction[i][j];
    }
  }
  image.SetRegions(size);
  image.SetSpacing(spacing);
  image.SetOrigin(origin);
  image.SetDirection(direction);
}

} // namespace impact

#endif
