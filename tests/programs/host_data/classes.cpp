// The size of the host's objects, class by class.

#include "probe.h"

#include "elxIncludes.h"

#include "StandardGradientDescent/itkGradientDescentOptimizer2.h"
#include "elxConfiguration.h"
#include "elxElastixTemplate.h"
#include "elxMetricBase.h"
#include "itkAdvancedBSplineDeformableTransform.h"
#include "itkAdvancedCombinationTransform.h"
#include "itkAdvancedEuler3DTransform.h"
#include "itkAdvancedImageToImageMetric.h"
#include "itkAdvancedMatrixOffsetTransformBase.h"
#include "itkAdvancedRigid2DTransform.h"
#include "itkAdvancedTranslationTransform.h"
#include "itkBSplineInterpolateImageFunction.h"
#include "itkImageFileWriter.h"
#include "itkImageGridSampler.h"
#include "itkMetaImageIO.h"
#include "itkMultiResolutionImageRegistrationMethod2.h"
#include "itkTimeProbe.h"
#include "itkVectorImage.h"

#include "AdaptiveStochasticGradientDescent/elxAdaptiveStochasticGradientDescent.h"
#include "AdvancedAffineTransform/elxAdvancedAffineTransform.h"
#include "AdvancedBSplineTransform/elxAdvancedBSplineTransform.h"
#include "AdvancedMeanSquares/elxAdvancedMeanSquaresMetric.h"
#include "AdvancedNormalizedCorrelation/elxAdvancedNormalizedCorrelationMetric.h"
#include "EulerTransform/elxEulerTransform.h"
#include "MultiMetricMultiResolutionRegistration/elxMultiMetricMultiResolutionRegistration.h"
#include "MultiResolutionRegistration/elxMultiResolutionRegistration.h"
#include "RandomCoordinate/elxRandomCoordinateSampler.h"
#include "RecursiveBSplineTransform/elxRecursiveBSplineTransform.h"
#include "TranslationTransform/elxTranslationTransform.h"

#include <type_traits>

namespace
{

std::string
nameOf(const std::type_info & type)
{
  return type.name();
}

template <typename TClass>
void
compareSize()
{
  if constexpr (std::is_base_of_v<itk::LightObject, TClass> && !std::is_abstract_v<TClass>)
  {
    if (const auto object = madeByHost<TClass>())
    {
      rows.push_back({ nameOf(typeid(TClass)), sizeof(TClass), sizeInHost(*object) });
    }
  }
}

/** Size, and the place of the second base: that is how large the first one is, which may have no New() of its own. */
template <typename TComponent, typename TBase>
void
compareComponent()
{
  compareSize<TComponent>();
  const auto object = madeByHost<TComponent>();
  if (!object)
  {
    rows.push_back({ nameOf(typeid(TComponent)) + " made by the host", 1, 0 });
    return;
  }
  auto * const base = dynamic_cast<TBase *>(object.GetPointer()); // by the host's type information
  // Not dereferenced: where our headers have it.
  auto * const ours = static_cast<TBase *>(reinterpret_cast<TComponent *>(object.GetPointer()));
  const auto   distance = [&object](const TBase * place) {
    return static_cast<std::size_t>(reinterpret_cast<const char *>(place) -
                                    reinterpret_cast<const char *>(object.GetPointer()));
  };
  rows.push_back({ nameOf(typeid(TComponent)) + " to its second base", distance(ours), distance(base) });
}

template <typename TImage>
void
compareComponents()
{
  namespace elx = elastix;
  using Elastix = elx::ElastixTemplate<TImage, TImage>;
  compareComponent<Elastix, elx::ElastixBase>();
  compareComponent<elx::AdvancedMeanSquaresMetric<Elastix>, elx::MetricBase<Elastix>>();
  compareComponent<elx::AdvancedNormalizedCorrelationMetric<Elastix>, elx::MetricBase<Elastix>>();
  compareComponent<elx::MultiResolutionRegistration<Elastix>, elx::RegistrationBase<Elastix>>();
  compareComponent<elx::MultiMetricMultiResolutionRegistration<Elastix>, elx::RegistrationBase<Elastix>>();
  compareComponent<elx::AdaptiveStochasticGradientDescent<Elastix>, elx::OptimizerBase<Elastix>>();
  compareComponent<elx::RandomCoordinateSampler<Elastix>, elx::ImageSamplerBase<Elastix>>();
  compareComponent<elx::TranslationTransformElastix<Elastix>, elx::TransformBase<Elastix>>();
  compareComponent<elx::AdvancedAffineTransformElastix<Elastix>, elx::TransformBase<Elastix>>();
  compareComponent<elx::AdvancedBSplineTransform<Elastix>, elx::TransformBase<Elastix>>();
  compareComponent<elx::RecursiveBSplineTransform<Elastix>, elx::TransformBase<Elastix>>();
  compareComponent<elx::EulerTransformElastix<Elastix>, elx::TransformBase<Elastix>>();
}

} // namespace

void
compareClasses()
{
#define CLASS(...) compareSize<__VA_ARGS__>();
#include CLASSES
#undef CLASS
  compareComponents<itk::Image<float, 2>>();
  compareComponents<itk::Image<float, 3>>();
  compareComponents<itk::Image<short, 3>>();
}
