#ifndef impactIntensity_h
#define impactIntensity_h

#include "impact/base/geometry.h"
#include "impact/kernels/processor.h"

#include <algorithm>

namespace impact
{

/** The intensity of an image at any point and, on request, its gradient there, by linear interpolation. Beyond an edge
 * the edge's value holds, with zero gradient across it. Thread-safe. */
class Intensity
{
public:
  /** \param view the image's pixels as floats; must outlive this object */
  explicit Intensity(const ImageView & view)
    : m_Grid(view.grid)
  {
    m_Linear.voxels = view.pixels;
    const Matrix toIndex = view.grid.physicalToIndex();
    for (std::size_t i = 0; i < 3; ++i)
    {
      m_Linear.size[i] = view.grid.size[i];
      m_Linear.origin[i] = view.grid.origin[i];
      std::copy(toIndex[i].begin(), toIndex[i].end(), m_Linear.toIndex + 3 * i);
    }
  }
  virtual ~Intensity() = default;

  const Grid &
  GetGrid() const
  {
    return m_Grid;
  }

  /** By linear interpolation, whatever the interpolator. */
  void
  LinearlyAt(const double * points, std::size_t count, float * values) const
  {
    geometryKernels().interpolate(m_Linear, points, static_cast<std::int64_t>(count), values, nullptr);
  }

  /** \param points three numbers each, physical
   * \param gradients null, or receives three numbers each, per mm */
  virtual void
  At(const double * points, std::size_t count, float * values, float * gradients) const
  {
    geometryKernels().interpolate(m_Linear, points, static_cast<std::int64_t>(count), values, gradients);
  }

private:
  Grid      m_Grid;
  VoxelGrid m_Linear{};
};

} // namespace impact

#endif
