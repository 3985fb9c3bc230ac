#include "metric_evaluator.h"

#include "itkImpactImageToImageMetric.h"

#include "itkAdvancedBSplineDeformableTransform.h"
#include "itkAdvancedCombinationTransform.h"
#include "itkAdvancedEuler3DTransform.h"
#include "itkAdvancedMatrixOffsetTransformBase.h"
#include "itkAdvancedRigid2DTransform.h"
#include "itkAdvancedTranslationTransform.h"
#include "itkImageGridSampler.h"

#include "impact/base/error.h"
#include "impact/base/random.h"
#include "impact/settings/settings_parser.h"
#include "impactGridOf.h"

namespace impact::bindings
{
namespace
{

template <unsigned int VDimension, typename TPixel = float>
auto
toItk(const Image & image)
{
  using ImageType = itk::Image<TPixel, VDimension>;
  const auto result = ImageType::New();
  SetGrid(*result, image.grid);
  result->Allocate();
  std::copy_n(image.pixels.data(), image.grid.numberOfVoxels(), result->GetBufferPointer());
  return result;
}

template <unsigned int VDimension>
class EvaluatorOf : public MetricEvaluator
{
public:
  using ImageType = itk::Image<float, VDimension>;
  using MetricType = itk::ImpactImageToImageMetric<ImageType, ImageType>;
  using TransformType = itk::AdvancedTransform<double, VDimension, VDimension>;
  using CombinationType = itk::AdvancedCombinationTransform<double, VDimension>;
  using MatrixType = itk::AdvancedMatrixOffsetTransformBase<double, VDimension, VDimension>;

  EvaluatorOf(const Image & fixed, const Image & moving, const EvaluatorOptions & options)
  {
    ParsedSettings parsed = parseSettings(options.parameters, "", options.level + 1, static_cast<int>(VDimension));
    if (hasErrors(parsed.findings))
    {
      throw Error(messagesOf(parsed.findings, Finding::Severity::Error));
    }
    const auto fixedImage = toItk<VDimension>(fixed);
    const auto movingImage = toItk<VDimension>(moving);

    m_Combination->SetUseComposition(true);
    m_Combination->SetCurrentTransform(makeTransform(*fixedImage, options));
    if (!options.initialParameters.empty())
    {
      const auto initial = MatrixType::New();
      initial->SetCenter(centreOf(*fixedImage));
      initial->SetParameters(toParameters(options.initialParameters, initial->GetNumberOfParameters()));
      m_Combination->SetInitialTransform(initial);
    }
    const auto current = m_Combination->GetCurrentTransform()->GetParameters();
    m_Identity.assign(current.begin(), current.end());

    const auto sampler = itk::ImageGridSampler<ImageType>::New();
    sampler->SetSampleGridSpacing(
      itk::MakeFilled<typename itk::ImageGridSampler<ImageType>::SampleGridSpacingType>(options.sampleSpacing));

    const auto interpolator = itk::BSplineInterpolateImageFunction<ImageType, double, double>::New();
    interpolator->SetSplineOrder(options.interpolationOrder);

    m_Metric->SetFixedImage(fixedImage);
    m_Metric->SetMovingImage(movingImage);
    m_Metric->SetFixedImageRegion(fixedImage->GetBufferedRegion());
    m_Metric->SetTransform(m_Combination);
    m_Metric->SetInterpolator(interpolator);
    m_Metric->SetImageSampler(sampler);
    m_Metric->SetNumberOfWorkUnits(options.threads);
    m_Metric->SetUseMultiThread(true);
    m_Metric->SetLevelSettings(parsed.levels.back());
    if (options.asOnGpu)
    {
      m_Metric->SetEngine(Engine::Torch);
    }
    m_Metric->SetMessageWriter([this](const std::string & message) { m_Messages.push_back(message); });
    if (!options.derivativeScales.empty())
    {
      typename MetricType::MovingImageDerivativeScalesType scales;
      std::copy_n(options.derivativeScales.begin(), VDimension, scales.begin());
      m_Metric->SetMovingImageDerivativeScales(scales);
      m_Metric->SetUseMovingImageDerivativeScales(true);
      m_Metric->SetScaleGradientWithRespectToMovingImageOrientation(true);
    }
    m_Metric->SetModelRepository(makeModelRepository());
    m_Metric->SetSeed(defaultRandomSeed);
    if (options.movingMask)
    {
      const auto mask = MetricType::MovingImageMaskType::New();
      mask->SetImage(toItk<VDimension, unsigned char>(*options.movingMask));
      mask->Update();
      m_Metric->SetMovingImageMask(mask);
    }
    m_Metric->Initialize();
  }

  bool
  evaluatesOnDevice() const override
  {
    return m_Metric->GetLevel()->GetEvaluatesOnDevice();
  }

  std::vector<std::string>
  messages() const override
  {
    return m_Messages;
  }

  std::vector<double>
  identityParameters() const override
  {
    return m_Identity;
  }

  double
  value(const std::vector<double> & parameters) override
  {
    return m_Metric->GetValue(toParameters(parameters, m_Identity.size()));
  }

  double
  valueAndDerivative(const std::vector<double> & parameters, std::vector<double> & derivative) override
  {
    double                              value = 0.0;
    typename MetricType::DerivativeType result;
    m_Metric->GetValueAndDerivative(toParameters(parameters, m_Identity.size()), value, result);
    derivative.assign(result.begin(), result.end());
    return value;
  }

  std::size_t
  numberOfValidSamples() const override
  {
    return m_Metric->GetNumberOfPixelsCounted();
  }

  void
  requestMovingFeatures() override
  {
    m_Metric->RequestMovingFeatures();
  }

  std::string
  describeFeatures() const override
  {
    return m_Metric->GetLevel()->DescribeFeatures();
  }

private:
  static typename TransformType::ParametersType
  toParameters(const std::vector<double> & values, std::size_t count)
  {
    if (values.size() != count)
    {
      throw Error("the transform has " + std::to_string(count) + " parameters, got " + std::to_string(values.size()));
    }
    typename TransformType::ParametersType parameters(values.size());
    std::copy(values.begin(), values.end(), parameters.begin());
    return parameters;
  }

  static typename TransformType::InputPointType
  centreOf(const ImageType & image)
  {
    const Grid                             grid = GridOf(image);
    const Vector                           centre = grid.pointAt({ 0.5 * static_cast<double>(grid.size[0] - 1),
                                                                   0.5 * static_cast<double>(grid.size[1] - 1),
                                                                   0.5 * static_cast<double>(grid.size[2] - 1) });
    typename TransformType::InputPointType point;
    std::copy_n(centre.begin(), VDimension, point.Begin());
    return point;
  }

  static typename CombinationType::CurrentTransformPointer
  makeTransform(const ImageType & fixed, const EvaluatorOptions & options)
  {
    if (options.transform == "Translation")
    {
      const auto transform = itk::AdvancedTranslationTransform<double, VDimension>::New();
      transform->SetIdentity();
      return transform.GetPointer();
    }
    if (options.transform == "Euler")
    {
      using EulerType = std::
        conditional_t<VDimension == 2, itk::AdvancedRigid2DTransform<double>, itk::AdvancedEuler3DTransform<double>>;
      const auto transform = EulerType::New();
      transform->SetIdentity();
      if constexpr (VDimension == 2)
      {
        transform->SetCenter(centreOf(fixed));
      }
      else
      {
        transform->SetCenter(centreOf(fixed));
        transform->SetComputeZYX(false);
      }
      return transform.GetPointer();
    }
    if (options.transform == "Affine")
    {
      const auto transform = MatrixType::New();
      transform->SetIdentity();
      transform->SetCenter(centreOf(fixed));
      return transform.GetPointer();
    }
    if (options.transform == "BSpline")
    {
      return makeBSpline<3>(fixed, options.controlPointSpacing).GetPointer();
    }
    if (options.transform == "QuadraticBSpline")
    {
      return makeBSpline<2>(fixed, options.controlPointSpacing).GetPointer();
    }
    throw Error("transform \"" + options.transform +
                "\" is unknown; allowed: Translation, Euler, Affine, BSpline, QuadraticBSpline");
  }

  /** A B-spline whose control points cover the image and what lies within one spacing around it. */
  template <unsigned int VOrder>
  static auto
  makeBSpline(const ImageType & fixed, double controlPointSpacing)
  {
    using BSplineType = itk::AdvancedBSplineDeformableTransform<double, VDimension, VOrder>;
    const auto                       transform = BSplineType::New();
    const Grid                       grid = GridOf(fixed);
    typename BSplineType::RegionType region;
    Vector                           first{};
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      region.SetSize(i, static_cast<itk::SizeValueType>(grid.extent(static_cast<int>(i)) / controlPointSpacing) + 5);
      first[i] = -2.0 * controlPointSpacing / grid.spacing[i];
    }
    const Vector                      firstPoint = grid.pointAt(first);
    typename BSplineType::OriginType  origin;
    typename BSplineType::SpacingType spacing;
    spacing.Fill(controlPointSpacing);
    std::copy_n(firstPoint.begin(), VDimension, origin.Begin());
    transform->SetGridRegion(region);
    transform->SetGridSpacing(spacing);
    transform->SetGridOrigin(origin);
    transform->SetGridDirection(fixed.GetDirection());
    typename BSplineType::ParametersType parameters(transform->GetNumberOfParameters());
    parameters.Fill(0.0);
    transform->SetParametersByValue(parameters);
    return transform;
  }

  typename CombinationType::Pointer m_Combination{ CombinationType::New() };
  typename MetricType::Pointer      m_Metric{ MetricType::New() };
  std::vector<double>               m_Identity;
  std::vector<std::string>          m_Messages;
};

} // namespace

std::unique_ptr<MetricEvaluator>
makeMetricEvaluator(const Image & fixed, const Image & moving, const EvaluatorOptions & options)
{
  if (fixed.grid.dimension != moving.grid.dimension)
  {
    throw Error("the fixed image has " + std::to_string(fixed.grid.dimension) + " dimensions, the moving image " +
                std::to_string(moving.grid.dimension));
  }
  if (fixed.grid.dimension == 2)
  {
    return std::make_unique<EvaluatorOf<2>>(fixed, moving, options);
  }
  return std::make_unique<EvaluatorOf<3>>(fixed, moving, options);
}

} // namespace impact::bindings
