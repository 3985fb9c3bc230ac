#ifndef impactPointMapper_h
#define impactPointMapper_h

#include "itkAdvancedBSplineDeformableTransformBase.h"
#include "itkAdvancedCombinationTransform.h"

#include "impact/base/geometry.h"
#include "impact/kernels/processor.h"
#include "impactPointMapping.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace impact
{

/** What a transform of elastix does to points.
 *
 * What is known is done here: cubic B-splines by their formula, transforms that are linear in the point through the
 * sums of gradients and of their products with points, which is all that their parameters see. Everything else goes
 * through the virtual functions of the transform. A transform before the optimised one (elastix's initial transform,
 * composed) is known where it is linear. */
template <unsigned int VDimension>
class PointMapper final : public PointMapping
{
public:
  using TransformType = itk::AdvancedTransform<double, VDimension, VDimension>;
  using PointType = typename TransformType::InputPointType;

  explicit PointMapper(const TransformType & transform)
    : m_Transform(&transform)
    , m_Current(&transform)
  {
    if (const auto * combination = dynamic_cast<const CombinationType *>(&transform))
    {
      const TransformType * const initial = combination->GetInitialTransform();
      const TransformType * const current = combination->GetCurrentTransform();
      m_Optimized = current;
      if (current && (!initial || combination->GetUseComposition()))
      {
        m_Current = current;
        m_Initial = initial;
      }
    }
    m_Optimized = m_Optimized ? m_Optimized : &transform;
    m_BSpline = CubicBSplineOf(*m_Current);
    m_Kind = m_BSpline ? Kind::BSpline : m_Current->IsLinear() ? Kind::Linear : Kind::Unknown;
    if (m_Kind == Kind::Unknown)
    {
      m_Current = m_Transform.GetPointer();
      m_Initial = nullptr;
    }
    m_InitialIsLinear = !m_Initial || m_Initial->IsLinear();
  }

  void
  Update() override
  {
    if (m_Kind == Kind::Unknown)
    {
      return;
    }
    SetLinear(m_InitialIsLinear ? m_Initial : nullptr, m_Grid.matrix, m_Grid.offset);
    if (m_Kind == Kind::BSpline)
    {
      UpdateGrid();
    }
    else
    {
      SetLinear(m_Current, m_LinearMatrix, m_LinearOffset);
    }
  }

  bool
  IsKnown() const override
  {
    return m_Kind != Kind::Unknown && m_InitialIsLinear;
  }

  KnownTransform
  GetKnown() const override
  {
    KnownTransform known{};
    known.isBSpline = m_Kind == Kind::BSpline;
    known.grid = m_Grid;
    std::copy_n(m_LinearMatrix, 9, known.matrix);
    std::copy_n(m_LinearOffset, 3, known.offset);
    return known;
  }

  std::optional<ControlPoints>
  GetControlPoints() const override
  {
    const BSplineType * const bspline = CubicBSplineOf(*m_Optimized);
    if (!bspline)
    {
      return std::nullopt;
    }
    ControlPoints points{ VDimension, { 1, 1, 1 }, { 1.0, 1.0, 1.0 } };
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      points.size[i] = static_cast<std::int64_t>(bspline->GetGridRegion().GetSize(i));
      points.spacing[i] = bspline->GetGridSpacing()[i];
    }
    return points;
  }

  bool
  IsLinear() const override
  {
    return m_Optimized->IsLinear();
  }

  std::string
  GetNameOfTransform() const override
  {
    return m_Optimized->GetNameOfClass();
  }

  void
  Map(const double * points, std::size_t count, double * result) const override
  {
    if (m_Kind == Kind::Unknown)
    {
      MapVirtually(*m_Transform, points, count, result);
      return;
    }
    if (!m_InitialIsLinear)
    {
      MapVirtually(*m_Initial, points, count, result);
      points = result;
    }
    if (m_Kind == Kind::BSpline)
    {
      geometryKernels().map(m_Grid, points, static_cast<std::int64_t>(count), result);
      return;
    }
    for (std::size_t n = 0; n < count; ++n)
    {
      double between[3];
      Apply(m_Grid.matrix, m_Grid.offset, points + 3 * n, between);
      Apply(m_LinearMatrix, m_LinearOffset, between, result + 3 * n);
    }
  }

  std::size_t
  NumberOfSums() const override
  {
    switch (m_Kind)
    {
      case Kind::BSpline:
        return 4 * static_cast<std::size_t>(m_Grid.size[0] * m_Grid.size[1] * m_Grid.size[2]);
      case Kind::Linear:
        return 12;
      case Kind::Unknown:
        break;
    }
    return m_Transform->GetNumberOfParameters();
  }

  std::size_t
  SumsPerPoint() const override
  {
    return m_Kind == Kind::BSpline  ? (VDimension == 3 ? 256 : 64)
           : m_Kind == Kind::Linear ? 12
                                    : m_Transform->GetNumberOfNonZeroJacobianIndices();
  }

  void
  AddGradients(const double * points, const double * gradients, std::size_t count, double * sums) const override
  {
    if (m_Kind == Kind::Unknown)
    {
      AddVirtually(points, gradients, count, sums);
      return;
    }
    std::vector<double> between;
    if (!m_InitialIsLinear)
    {
      between.resize(3 * count);
      MapVirtually(*m_Initial, points, count, between.data());
      points = between.data();
    }
    if (m_Kind == Kind::BSpline)
    {
      geometryKernels().pullBackToCoefficients(m_Grid, points, gradients, static_cast<std::int64_t>(count), sums);
      return;
    }
    for (std::size_t n = 0; n < count; ++n)
    {
      double point[3];
      Apply(m_Grid.matrix, m_Grid.offset, points + 3 * n, point);
      for (std::size_t d = 0; d < VDimension; ++d)
      {
        const double g = gradients[3 * n + d];
        sums[d] += g;
        for (std::size_t i = 0; i < VDimension; ++i)
        {
          sums[3 + 3 * i + d] += point[i] * g;
        }
      }
    }
  }

  void
  FromSums(const double * sums, double * derivative, std::size_t numberOfParameters) const override
  {
    switch (m_Kind)
    {
      case Kind::BSpline:
      {
        const std::size_t perDimension = numberOfParameters / VDimension;
        for (std::size_t d = 0; d < VDimension; ++d)
        {
          for (std::size_t i = 0; i < perDimension; ++i)
          {
            derivative[d * perDimension + i] = sums[4 * i + d];
          }
        }
        return;
      }
      case Kind::Linear:
        FromMoments(sums, derivative, numberOfParameters);
        return;
      case Kind::Unknown:
        std::copy_n(sums, numberOfParameters, derivative);
    }
  }

private:
  using CombinationType = itk::AdvancedCombinationTransform<double, VDimension>;
  using BSplineType = itk::AdvancedBSplineDeformableTransformBase<double, VDimension>;

  enum class Kind
  {
    BSpline,
    Linear,
    Unknown
  };

  /** Null for other transforms, cyclic grids and other orders. */
  static const BSplineType *
  CubicBSplineOf(const TransformType & transform)
  {
    const std::string  name = transform.GetNameOfClass();
    const auto * const bspline = dynamic_cast<const BSplineType *>(&transform);
    const bool         isPlain = name == "AdvancedBSplineDeformableTransform" || name == "RecursiveBSplineTransform";
    return bspline && isPlain && bspline->GetSplineOrder() == 3 ? bspline : nullptr;
  }

  static void
  Apply(const double * matrix, const double * offset, const double * x, double * y)
  {
    for (std::size_t i = 0; i < 3; ++i)
    {
      y[i] = matrix[3 * i] * x[0] + matrix[3 * i + 1] * x[1] + matrix[3 * i + 2] * x[2] + offset[i];
    }
  }

  /** The matrix and offset of a linear transform, from what it makes of points; null: the identity. */
  static void
  SetLinear(const TransformType * transform, double * matrix, double * offset)
  {
    std::fill_n(matrix, 9, 0.0);
    std::fill_n(offset, 3, 0.0);
    for (std::size_t i = 0; i < 3; ++i)
    {
      matrix[4 * i] = 1.0;
    }
    if (!transform)
    {
      return;
    }
    PointType zero;
    zero.Fill(0.0);
    const PointType origin = transform->TransformPoint(zero);
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      offset[i] = origin[i];
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        // A step of a round number, large enough for what is subtracted to lose nothing that matters.
        constexpr double step = 1024.0;
        PointType        point = zero;
        point[j] = step;
        matrix[3 * i + j] = (transform->TransformPoint(point)[i] - origin[i]) / step;
      }
    }
  }

  void
  UpdateGrid()
  {
    const auto & region = m_BSpline->GetGridRegion();
    Grid         grid;
    grid.dimension = VDimension;
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      grid.size[i] = static_cast<std::int64_t>(region.GetSize(i));
      grid.spacing[i] = m_BSpline->GetGridSpacing()[i];
      grid.origin[i] = m_BSpline->GetGridOrigin()[i];
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        grid.direction[i][j] = m_BSpline->GetGridDirection()[i][j];
      }
    }
    Vector first{};
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      first[i] = static_cast<double>(region.GetIndex(i));
    }
    const Vector origin = grid.pointAt(first);
    const Matrix toIndex = grid.physicalToIndex();
    for (std::size_t i = 0; i < 3; ++i)
    {
      m_Grid.size[i] = grid.size[i];
      m_Grid.origin[i] = origin[i];
      std::copy(toIndex[i].begin(), toIndex[i].end(), m_Grid.toIndex + 3 * i);
    }
    const auto count = static_cast<std::size_t>(grid.numberOfVoxels());
    m_Coefficients.resize(4 * count); // those of axes that there are not stay zero
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const double * const from = m_BSpline->GetCoefficientImages()[d]->GetBufferPointer();
      for (std::size_t i = 0; i < count; ++i)
      {
        m_Coefficients[4 * i + d] = from[i];
      }
    }
    m_Grid.coefficients = m_Coefficients.data();
  }

  static void
  MapVirtually(const TransformType & transform, const double * points, std::size_t count, double * result)
  {
    for (std::size_t n = 0; n < count; ++n)
    {
      PointType point;
      std::copy_n(points + 3 * n, VDimension, point.Begin());
      const auto mapped = transform.TransformPoint(point);
      std::fill_n(result + 3 * n, 3, 0.0);
      std::copy_n(mapped.Begin(), VDimension, result + 3 * n);
    }
  }

  void
  AddVirtually(const double * points, const double * gradients, std::size_t count, double * sums) const
  {
    const auto                                         nonZeros = m_Transform->GetNumberOfNonZeroJacobianIndices();
    itk::Array<double>                                 product(nonZeros);
    typename TransformType::NonZeroJacobianIndicesType indices(nonZeros);
    PointType                                          point;
    typename TransformType::MovingImageGradientType    gradient;
    for (std::size_t n = 0; n < count; ++n)
    {
      std::copy_n(gradients + 3 * n, VDimension, gradient.Begin());
      if (std::all_of(gradient.Begin(), gradient.End(), [](double g) { return g == 0.0; }))
      {
        continue;
      }
      std::copy_n(points + 3 * n, VDimension, point.Begin());
      product.Fill(0.0); // some transforms leave it as it is where a point lies outside their region
      m_Transform->EvaluateJacobianWithImageGradientProduct(point, gradient, product, indices);
      for (std::size_t i = 0; i < indices.size(); ++i)
      {
        sums[indices[i]] += product[i];
      }
    }
  }

  /** The derivative of a linear transform with respect to its parameters is linear in the point, too: dT/dmu(p) = J(0)
   * + sum over the axes i of p_i (J(e_i) - J(0)). */
  void
  FromMoments(const double * sums, double * derivative, std::size_t numberOfParameters) const
  {
    typename TransformType::JacobianType               origin;
    typename TransformType::JacobianType               jacobian;
    typename TransformType::NonZeroJacobianIndicesType indices(m_Current->GetNumberOfNonZeroJacobianIndices());
    PointType                                          zero;
    zero.Fill(0.0);
    m_Current->GetJacobian(zero, origin, indices);
    std::fill_n(derivative, numberOfParameters, 0.0);
    for (std::size_t d = 0; d < VDimension; ++d)
    {
      for (std::size_t p = 0; p < indices.size(); ++p)
      {
        derivative[indices[p]] += sums[d] * origin(d, p);
      }
    }
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      constexpr double step = 1024.0;
      PointType        point = zero;
      point[i] = step;
      m_Current->GetJacobian(point, jacobian, indices);
      for (std::size_t d = 0; d < VDimension; ++d)
      {
        for (std::size_t p = 0; p < indices.size(); ++p)
        {
          derivative[indices[p]] += sums[3 + 3 * i + d] * (jacobian(d, p) - origin(d, p)) / step;
        }
      }
    }
  }

  typename TransformType::ConstPointer m_Transform;
  const TransformType *                m_Optimized{ nullptr }; // the part with the parameters
  const TransformType *                m_Current;              // likewise; all of it where parts are added up
  const TransformType *                m_Initial{ nullptr };   // what comes before it; null: nothing
  const BSplineType *                  m_BSpline{ nullptr };
  Kind                                 m_Kind{ Kind::Unknown };
  bool                                 m_InitialIsLinear{ true };
  BSplineGrid         m_Grid{}; // its matrix and offset are the initial transform's, of linear transforms too
  std::vector<double> m_Coefficients;
  double              m_LinearMatrix[9]{};
  double              m_LinearOffset[3]{};
};

} // namespace impact

#endif
