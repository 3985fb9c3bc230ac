// The places of members that code of elastix's headers, compiled into the plugin, reads and writes: the host's
// functions set them, and we look where our headers have them.

#include "probe.h"

#include "AdvancedMeanSquares/elxAdvancedMeanSquaresMetric.h"
#include "elxConfiguration.h"
#include "elxElastixTemplate.h"
#include "itkAdvancedBSplineDeformableTransform.h"
#include "itkAdvancedCombinationTransform.h"
#include "itkAdvancedMatrixOffsetTransformBase.h"
#include "itkBSplineInterpolateImageFunction.h"
#include "itkImageGridSampler.h"
#include "itkMersenneTwisterRandomVariateGenerator.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <type_traits>

// Its functions are the host's: not compiled here, although they stand in headers.
extern template class elastix::BaseComponentSE<elastix::ElastixTemplate<itk::Image<float, 3>, itk::Image<float, 3>>>;

namespace
{

using ImageType = itk::Image<float, 3>;
using ElastixType = elastix::ElastixTemplate<ImageType, ImageType>;

void
compare(const std::string & member, bool same)
{
  rows.push_back({ member, 1, same ? 1U : 0U });
}

// Private members of Configuration, which an explicit instantiation may name.

template <typename TInterface>
const auto &
mapOf(const TInterface & interface)
{
  if constexpr (std::is_same_v<TInterface, itk::ParameterMapInterface>)
  {
    return interface.GetParameterMap();
  }
  else
  {
    return interface->GetParameterMap();
  }
}

const itk::ParameterFileParser::ParameterMapType & mapBehind(const elastix::Configuration &);
unsigned int                                       levelOf(const elastix::Configuration &);
unsigned int                                       levelsOf(const elastix::Configuration &);
bool                                               initializedOf(const elastix::Configuration &);

template <auto VMap, auto VLevel, auto VLevels, auto VInitialized>
struct Access
{
  friend const itk::ParameterFileParser::ParameterMapType &
  mapBehind(const elastix::Configuration & c)
  {
    return mapOf(c.*VMap);
  }
  friend unsigned int
  levelOf(const elastix::Configuration & c)
  {
    return c.*VLevel;
  }
  friend unsigned int
  levelsOf(const elastix::Configuration & c)
  {
    return c.*VLevels;
  }
  friend bool
  initializedOf(const elastix::Configuration & c)
  {
    return c.*VInitialized;
  }
};

template struct Access<&elastix::Configuration::m_ParameterMapInterface,
                       &elastix::Configuration::m_ElastixLevel,
                       &elastix::Configuration::m_TotalNumberOfElastixLevels,
                       &elastix::Configuration::m_IsInitialized>;

elastix::Configuration::Pointer
compareConfiguration()
{
  const auto configuration = typedByHost<elastix::Configuration>();
  configuration->SetElastixLevel(7);
  configuration->SetTotalNumberOfElastixLevels(9);
  compare("Configuration::m_IsInitialized before", !initializedOf(*configuration));
  const std::map<std::string, std::vector<std::string>> map{ { "A", { "1", "2" } }, { "B", { "x" } } };
  configuration->Initialize({ { "-out", "here" } }, map);
  compare("Configuration::m_ElastixLevel", levelOf(*configuration) == 7);
  compare("Configuration::m_TotalNumberOfElastixLevels", levelsOf(*configuration) == 9);
  compare("Configuration::m_IsInitialized", initializedOf(*configuration) && configuration->IsInitialized());
  compare("Configuration::m_ParameterMapInterface", mapBehind(*configuration) == map);
  int value = 0;
  compare("Configuration::ReadParameter", configuration->ReadParameter(value, "A", 1, false) && value == 2);
  compare("Configuration::HasParameter", configuration->HasParameter("B") && !configuration->HasParameter("C"));
  compare("Configuration::GetPrintErrorMessages", configuration->GetPrintErrorMessages());
  compare("Configuration::GetCommandLineArgument", configuration->GetCommandLineArgument("-out") == "here");
  return configuration;
}

template <unsigned int VDimension>
void
compareTransforms()
{
  using BSpline = itk::AdvancedBSplineDeformableTransform<double, VDimension, 3>;
  struct Peek : BSpline
  {
    static void
    at(BSpline & transform)
    {
      const std::string            dimension = std::to_string(VDimension);
      typename BSpline::RegionType region;
      region.GetModifiableSize().Fill(5);
      region.GetModifiableIndex().Fill(1);
      const auto spacing = itk::MakeFilled<typename BSpline::SpacingType>(2.5);
      const auto origin = itk::MakeFilled<typename BSpline::OriginType>(-3.0);
      auto       direction = BSpline::DirectionType::GetIdentity();
      direction[0][0] = -1.0;
      transform.SetGridRegion(region);
      transform.SetGridSpacing(spacing);
      transform.SetGridOrigin(origin);
      transform.SetGridDirection(direction);
      compare("BSpline" + dimension + "::m_GridRegion", transform.*(&Peek::m_GridRegion) == region);
      compare("BSpline" + dimension + "::m_GridSpacing", transform.*(&Peek::m_GridSpacing) == spacing);
      compare("BSpline" + dimension + "::m_GridOrigin", transform.*(&Peek::m_GridOrigin) == origin);
      compare("BSpline" + dimension + "::m_GridDirection", transform.*(&Peek::m_GridDirection) == direction);
      const typename BSpline::ParametersType parameters(transform.GetNumberOfParameters(), 0.5);
      transform.SetParameters(parameters);
      compare("BSpline" + dimension + "::m_InputParametersPointer",
              transform.*(&Peek::m_InputParametersPointer) == &parameters);
      compare("BSpline" + dimension + "::GetCoefficientImages",
              transform.GetCoefficientImages()[VDimension - 1]->GetBufferPointer() ==
                parameters.data_block() + parameters.size() / VDimension * (VDimension - 1));
      compare("BSpline" + dimension + "::GetSplineOrder", transform.GetSplineOrder() == 3);
    }
  };
  const auto bspline = typedByHost<BSpline>();
  Peek::at(*bspline);

  const std::string dimension = std::to_string(VDimension);
  using Combination = itk::AdvancedCombinationTransform<double, VDimension>;
  using Matrix = itk::AdvancedMatrixOffsetTransformBase<double, VDimension, VDimension>;
  const auto combination = typedByHost<Combination>();
  const auto matrix = typedByHost<Matrix>();
  auto       values = Matrix::MatrixType::GetIdentity();
  values[0][1] = 0.25;
  matrix->SetMatrix(values);
  compare("MatrixOffset" + dimension + "::GetMatrix", matrix->GetMatrix()[0][1] == 0.25);
  // Here it is headers that set: what the host's virtual functions say depends on where they look.
  combination->SetUseComposition(true);
  combination->SetCurrentTransform(matrix);
  compare("Combination" + dimension + "::m_CurrentTransform",
          combination->GetNumberOfParameters() == matrix->GetNumberOfParameters());
  compare("Combination" + dimension + "::m_InitialTransform without", combination->IsLinear());
  combination->SetInitialTransform(bspline);
  compare("Combination" + dimension + "::m_InitialTransform",
          !combination->IsLinear() && combination->GetInitialTransform() == bspline);
  compare("Combination" + dimension + "::m_UseComposition",
          combination->GetUseComposition() && !combination->GetUseAddition());
}

using MetricType = elastix::AdvancedMeanSquaresMetric<ElastixType>;

struct PeekMetric : MetricType
{
  using Base = itk::AdvancedImageToImageMetric<ImageType, ImageType>;

  static void
  at(MetricType & object)
  {
    Base &     metric = object;
    const auto image = ImageType::New();
    image->SetRegions(ImageType::SizeType::Filled(4));
    const auto transform = typedByHost<itk::AdvancedBSplineDeformableTransform<double, 3, 3>>();
    const auto interpolator = itk::BSplineInterpolateImageFunction<ImageType, double, double>::New();
    const auto sampler = itk::ImageGridSampler<ImageType>::New();
    metric.SetFixedImage(image);
    metric.SetMovingImage(image);
    metric.SetFixedImageRegion(image->GetLargestPossibleRegion());
    metric.SetTransform(transform);
    metric.SetInterpolator(interpolator);
    metric.SetImageSampler(sampler);
    metric.SetRequiredRatioOfValidSamples(0.375);
    metric.SetUseMultiThread(true);
    metric.SetUseMovingImageDerivativeScales(true);
    metric.SetScaleGradientWithRespectToMovingImageOrientation(true);
    const itk::FixedArray<double, 3> scales = itk::MakeFilled<itk::FixedArray<double, 3>>(0.25);
    metric.SetMovingImageDerivativeScales(scales);
    compare("Metric::m_FixedImage", metric.*(&PeekMetric::m_FixedImage) == image);
    compare("Metric::m_MovingImage", metric.*(&PeekMetric::m_MovingImage) == image);
    compare("Metric::m_Transform", (metric.*(&PeekMetric::m_Transform)).GetPointer() == transform.GetPointer());
    compare("Metric::m_AdvancedTransform",
            (metric.*(&PeekMetric::m_AdvancedTransform)).GetPointer() == transform.GetPointer());
    compare("Metric::m_Interpolator",
            (metric.*(&PeekMetric::m_Interpolator)).GetPointer() == interpolator.GetPointer());
    compare("Metric::m_ImageSampler", (metric.*(&PeekMetric::m_ImageSampler)).GetPointer() == sampler.GetPointer());
    compare("Metric::m_UseMultiThread", metric.*(&PeekMetric::m_UseMultiThread));
    compare("Metric::m_UseMetricSingleThreaded", metric.*(&PeekMetric::m_UseMetricSingleThreaded));
    compare("Metric::m_NumberOfPixelsCounted",
            &(metric.*(&PeekMetric::m_NumberOfPixelsCounted)) == &metric.GetNumberOfPixelsCounted());
    compare("Metric::GetRequiredRatioOfValidSamples", metric.GetRequiredRatioOfValidSamples() == 0.375);
    compare("Metric::GetMovingImageDerivativeScales", metric.GetMovingImageDerivativeScales() == scales);
    compare("Metric::GetThreader", metric.GetModifiableThreader() == (metric.*(&PeekMetric::m_Threader)).GetPointer());
  }
};

void
compareElastix(elastix::Configuration & configuration)
{
  const auto elastix = typedByHost<ElastixType>();
  elastix->SetDBIndex(5);
  compare("ElastixBase::m_DBIndex", elastix->GetDBIndex() == 5);
  elastix->SetConfiguration(&configuration);
  compare("ElastixBase::m_Configuration", elastix->GetConfiguration() == &configuration);
  compare("ElastixBase::GetUseDirectionCosines", elastix->GetUseDirectionCosines());

  // The host's constructor makes an empty container for each: of objects, of data, of names.
  const auto isOf = [](const itk::Object * container, const std::type_info & type) {
    return container && std::string(typeid(*container).name()) == type.name();
  };
  using Objects = elastix::ElastixBase::ObjectContainerType;
  using Data = elastix::ElastixBase::DataObjectContainerType;
  using Names = elastix::ElastixBase::FileNameContainerType;
  compare("ElastixBase::m_FixedImagePyramidContainer", isOf(elastix->GetFixedImagePyramidContainer(), typeid(Objects)));
  compare("ElastixBase::m_MetricContainer", isOf(elastix->GetMetricContainer(), typeid(Objects)));
  compare("ElastixBase::m_TransformContainer", isOf(elastix->GetTransformContainer(), typeid(Objects)));
  compare("ElastixBase::m_FixedImageContainer", isOf(elastix->GetFixedImageContainer(), typeid(Data)));
  compare("ElastixBase::m_MovingMaskContainer", isOf(elastix->GetMovingMaskContainer(), typeid(Data)));
  compare("ElastixBase::m_FixedImageFileNameContainer", isOf(elastix->GetFixedImageFileNameContainer(), typeid(Names)));
  compare("ElastixBase::m_MovingMaskFileNameContainer", isOf(elastix->GetMovingMaskFileNameContainer(), typeid(Names)));

  // As elastix does with its components.
  const auto                              metric = typedByHost<MetricType>();
  elastix::BaseComponentSE<ElastixType> & component = *metric;
  component.SetElastix(elastix);
  compare("BaseComponentSE::m_Elastix", component.GetElastix() == elastix.GetPointer());
  component.SetConfiguration(&configuration);
  compare("BaseComponentSE::m_Configuration", component.GetConfiguration() == &configuration);
  component.SetComponentLabel("Metric", 3);
  compare("BaseComponent::m_ComponentLabel", std::string(component.GetComponentLabel()) == "Metric3");

  const auto generator =
    dynamic_cast<itk::Statistics::MersenneTwisterRandomVariateGenerator *>(&elastix->GetRandomVariateGenerator());
  compare("ElastixBase::m_RandomVariateGenerator", generator != nullptr);
}

} // namespace

void
compareMembers()
{
  const auto configuration = compareConfiguration();
  compareTransforms<2>();
  compareTransforms<3>();
  PeekMetric::at(*typedByHost<MetricType>());
  compareElastix(*configuration);
}

/** All comparisons, a line each: what, ours, the host's. */
extern "C" __attribute__((visibility("default"))) const char *
hostData()
{
  static std::string text;
  compareClasses();
  compareMembers();
  std::ostringstream stream;
  for (const Row & row : rows)
  {
    stream << row.where << '\t' << row.ours << '\t' << row.hosts << '\n';
  }
  text = stream.str();
  return text.c_str();
}
