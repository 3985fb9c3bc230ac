#ifndef impactIntensity_h
#define impactIntensity_h

#include "itkBSplineInterpolateImageFunction.h"

#include "impact/kernels/processor.h"
#include "impactGridOf.h"

#include <algorithm>

namespace impact
{

/** The intensity of an image at any point and, on request, its gradient there, by linear interpolation or by an ITK
 * B-spline interpolator of order 2 or more. Beyond an edge the edge's value holds, with zero gradient across it. */
template <typename TImage>
class Intensity
{
public:
  static constexpr unsigned int Dimension = TImage::ImageDimension;

  using PointType = typename TImage::PointType;
  using BSplineType = itk::BSplineInterpolateImageFunction<TImage, double, double>;

  /** \param view the image's pixels as floats; must outlive this object
   * \param bspline null for linear interpolation */
  void
  Set(const TImage & image, const ImageView & view, const BSplineType * bspline)
  {
    m_Image = &image;
    m_Linear.voxels = view.pixels;
    const Matrix toIndex = view.grid.physicalToIndex();
    for (std::size_t i = 0; i < 3; ++i)
    {
      m_Linear.size[i] = view.grid.size[i];
      m_Linear.origin[i] = view.grid.origin[i];
      std::copy(toIndex[i].begin(), toIndex[i].end(), m_Linear.toIndex + 3 * i);
    }
    m_ToPhysical = view.grid.indexToPhysical();
    m_ToIndex = toIndex;
    m_BSpline = bspline;
  }

  const TImage *
  GetImage() const
  {
    return m_Image;
  }

  /** By linear interpolation, whatever the interpolator. */
  void
  LinearlyAt(const double * points, std::size_t count, float * values) const
  {
    geometryKernels().interpolate(m_Linear, points, static_cast<std::int64_t>(count), values, nullptr);
  }

  /** \param points three numbers each, physical
   * \param gradients null, or receives three numbers each, per mm */
  void
  At(const double * points, std::size_t count, float * values, float * gradients) const
  {
    if (!m_BSpline)
    {
      geometryKernels().interpolate(m_Linear, points, static_cast<std::int64_t>(count), values, gradients);
      return;
    }
    for (std::size_t n = 0; n < count; ++n)
    {
      Vector gradient{};
      values[n] = ByBSpline({ points[3 * n], points[3 * n + 1], points[3 * n + 2] }, gradients ? &gradient : nullptr);
      if (gradients)
      {
        std::copy(gradient.begin(), gradient.end(), gradients + 3 * n);
      }
    }
  }

private:
  float
  ByBSpline(const Vector & physical, Vector * const gradient) const
  {
    PointType point;
    std::copy_n(physical.begin(), Dimension, point.Begin());
    auto       index = m_Image->template TransformPhysicalPointToContinuousIndex<double>(point);
    const auto region = m_Image->GetBufferedRegion();
    Vector     inside{};
    for (unsigned int i = 0; i < Dimension; ++i)
    {
      const auto   first = static_cast<double>(region.GetIndex(i));
      const double clamped = std::clamp(index[i], first, first + static_cast<double>(region.GetSize(i) - 1));
      inside[i] = clamped == index[i] ? 1.0 : 0.0;
      index[i] = clamped;
    }
    if (!gradient)
    {
      return static_cast<float>(m_BSpline->EvaluateAtContinuousIndex(index));
    }
    double                                    value = 0.0;
    typename BSplineType::CovariantVectorType derivative;
    m_BSpline->EvaluateValueAndDerivativeAtContinuousIndex(index, value, derivative);

    // Across an edge the image goes on unchanged: along that axis of the image the derivative is zero.
    gradient->fill(0.0);
    for (unsigned int axis = 0; axis < Dimension; ++axis)
    {
      double perIndex = 0.0;
      for (unsigned int i = 0; i < Dimension; ++i)
      {
        perIndex += m_ToPhysical[i][axis] * derivative[i];
      }
      for (unsigned int i = 0; i < Dimension; ++i)
      {
        (*gradient)[i] += m_ToIndex[axis][i] * inside[axis] * perIndex;
      }
    }
    return static_cast<float>(value);
  }

  const TImage *      m_Image{ nullptr };
  VoxelGrid           m_Linear{};
  Matrix              m_ToPhysical{};
  Matrix              m_ToIndex{};
  const BSplineType * m_BSpline{ nullptr };
};

} // namespace impact

#endif
