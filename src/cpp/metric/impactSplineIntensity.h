#ifndef impactSplineIntensity_h
#define impactSplineIntensity_h

#include "itkBSplineInterpolateImageFunction.h"

#include "impactIntensity.h"

namespace impact
{

/** By an ITK B-spline interpolator of order 2 or more. */
template <typename TImage>
class SplineIntensity final : public Intensity
{
public:
  static constexpr unsigned int Dimension = TImage::ImageDimension;

  using PointType = typename TImage::PointType;
  using BSplineType = itk::BSplineInterpolateImageFunction<TImage, double, double>;

  SplineIntensity(const TImage & image, const ImageView & view, const BSplineType & bspline)
    : Intensity(view)
    , m_Image(&image)
    , m_BSpline(&bspline)
    , m_ToPhysical(view.grid.indexToPhysical())
    , m_ToIndex(view.grid.physicalToIndex())
  {}

  void
  At(const double * points, std::size_t count, float * values, float * gradients) const override
  {
    for (std::size_t n = 0; n < count; ++n)
    {
      Vector gradient{};
      values[n] = AtPoint({ points[3 * n], points[3 * n + 1], points[3 * n + 2] }, gradients ? &gradient : nullptr);
      if (gradients)
      {
        std::copy(gradient.begin(), gradient.end(), gradients + 3 * n);
      }
    }
  }

private:
  float
  AtPoint(const Vector & physical, Vector * const gradient) const
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

  typename TImage::ConstPointer      m_Image;
  typename BSplineType::ConstPointer m_BSpline;
  Matrix                             m_ToPhysical;
  Matrix                             m_ToIndex;
};

} // namespace impact

#endif
