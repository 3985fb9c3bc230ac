#ifndef itkImpactImageToImageMetric_h
#define itkImpactImageToImageMetric_h

#include "impact/api/engine.h"
#include "impactMetricLevel.h"
#include "itkAdvancedImageToImageMetric.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace itk
{

/** \class ImpactImageToImageMetric
 *
 * \brief Compares a fixed and a moving image through the features of pretrained networks.
 *
 * Boussot et al., IMPACT: A Generic Semantic Loss for Multimodal Medical Image Registration, arXiv:2503.24121.
 *
 * This class is what depends on the types of the images: the samples, where the transform and the masks put them, and
 * what elastix asks. Between Initialize() and the next, or Release(), all else is an impact::MetricLevel's.
 *
 * \ingroup RegistrationMetrics
 */
template <typename TFixedImage, typename TMovingImage>
class ITK_TEMPLATE_EXPORT ImpactImageToImageMetric : public AdvancedImageToImageMetric<TFixedImage, TMovingImage>
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(ImpactImageToImageMetric);

  using Self = ImpactImageToImageMetric;
  using Superclass = AdvancedImageToImageMetric<TFixedImage, TMovingImage>;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  itkNewMacro(Self);
  itkOverrideGetNameOfClassMacro(ImpactImageToImageMetric);

  itkStaticConstMacro(FixedImageDimension, unsigned int, TFixedImage::ImageDimension);
  itkStaticConstMacro(MovingImageDimension, unsigned int, TMovingImage::ImageDimension);

  using typename Superclass::DerivativeType;
  using typename Superclass::MeasureType;
  using typename Superclass::ParametersType;
  using typename Superclass::TransformParametersType;

  /** What holds at the level to come: set before Initialize(). */
  void
  SetLevelSettings(const impact::LevelSettings & settings)
  {
    m_LevelSettings = settings;
    this->Modified();
  }

  const impact::LevelSettings &
  GetLevelSettings() const
  {
    return m_LevelSettings;
  }

  /** Models already opened, shared by all levels. */
  void
  SetModelRepository(impact::ModelRepositoryPointer models)
  {
    m_Models = std::move(models);
  }

  /** Seed of the random draws (subsets of channels, planes of 2D models); they start anew at each Initialize(). */
  itkSetMacro(Seed, uint64_t);
  itkGetConstMacro(Seed, uint64_t);

  /** Whether Initialize() may leave the making of features in Static mode to the threads but one, and return: for hosts
   * that do without the metric for a while, on one thread. The first evaluation waits, and fails where the features do.
   * It is done where nothing is lost by it: with two threads or more, and networks that the waiting thread can join. */
  itkSetMacro(MakesFeaturesAside, bool);
  itkGetConstMacro(MakesFeaturesAside, bool);

  /** Receives what the models see and give in Static mode; none by default. */
  void
  SetMapWriter(std::function<void(const impact::MapToWrite &)> writer)
  {
    m_MapWriter = std::move(writer);
  }

  /** Receives what the user should know of while the metric runs: shortages of memory that it can live with. */
  void
  SetMessageWriter(std::function<void(const std::string &)> writer)
  {
    m_MessageWriter = std::move(writer);
  }

  /** Who is to do the arithmetic; by default the engine that the level's settings ask for. */
  void
  SetEngine(impact::Engine engine)
  {
    m_Engine = engine;
  }

  /** Where FeaturesMapUpdateInterval asks for it: the next evaluation makes the moving features anew, from the moving
   * image warped by the transform as it then is. */
  void
  RequestMovingFeatures()
  {
    if (m_Level)
    {
      m_Level->RequestMovingFeatures();
    }
  }

  /** Makes the features of the images at this level (Static) or readies the networks (Jacobian).
   * \throws impact::Error for what a user can mend. */
  void Initialize() override;

  MeasureType GetValue(const ParametersType & parameters) const override;

  void GetDerivative(const ParametersType & parameters, DerivativeType & derivative) const override;

  void GetValueAndDerivative(const ParametersType & parameters,
                             MeasureType &          value,
                             DerivativeType &       derivative) const override;

  /** Lets go of features, networks and models. */
  void Release();

  /** The level that Initialize() has begun; null before it, and after Release(). */
  impact::MetricLevel *
  GetLevel() const
  {
    return m_Level.get();
  }

  /** Why the last evaluation of the level failed, in the user's terms; empty where it did not. */
  std::string
  GetFailure() const
  {
    return m_Level ? m_Level->Failure() : std::string();
  }

protected:
  ImpactImageToImageMetric();
  ~ImpactImageToImageMetric() override = default;

  /** Called once the features are there that Initialize() left to other threads. \param seconds how long they took */
  virtual void
  AfterFeaturesAside(double /*seconds*/) const
  {}

  /** \param buffer receives the pixels of an image that is not of floats */
  template <typename TImage>
  static impact::ImageView ViewOf(const TImage & image, std::vector<float> & buffer);

private:
  /** Within the mask, where there is one. */
  template <typename TImage, typename TMask>
  static impact::IntensityRange RangeOf(const TImage & image, const TMask * mask);

  using FixedPointType = typename Superclass::FixedImagePointType;
  using MovingPointType = typename Superclass::MovingImagePointType;

  /** Interpolates both images alike, or a perfect match would not be one. */
  void MakeIntensities(impact::MetricLevelInput & input) const;

  /** How many threads elastix gives. */
  int GetNumberOfThreads() const;

  /** The user's MovingImageDerivativeScales, where there are any, as what gradients are multiplied by. */
  std::optional<impact::Matrix> GetGradientScale() const;

  /** What keeps an evaluation from staying on the device; empty: nothing. */
  std::string FindWhyNotOnDevice(const impact::PointMapping & mapping) const;

  /** The moving mask, for the device; none where there is none. */
  std::optional<impact::DeviceGeometry::Mask> GetMaskForDevice() const;

  /** Keeps why an evaluation failed, besides throwing it: elastix's optimizers pass on a copy of what is thrown. */
  MeasureType Evaluate(const ParametersType & parameters, DerivativeType * derivative) const;

  MeasureType
  EvaluateLevel(impact::MetricLevel & level, const ParametersType & parameters, DerivativeType * derivative) const;

  /** Without the bending energy. */
  MeasureType EvaluateSimilarity(impact::MetricLevel &                         level,
                                 const ParametersType &                        parameters,
                                 const std::optional<impact::DerivativeView> & view) const;

  /** The sampler's points, three numbers each. */
  std::vector<double> GetSamplePoints() const;

  /** Maps the sampler's points, and keeps what maps inside the moving image and its mask. */
  impact::Samples MapSamples(impact::MetricLevel & level) const;

  /** The place of each sample in the image warped by T_k at the last update, to first order:
   * x + (dT_k/dx)^-1 (T(x) - T_k(x)).
   *
   * \param parametersOfWarp those of T_k
   * \param parameters       those of T, which hold before and after */
  impact::WarpedSamples WarpSamples(impact::MetricLevel &       level,
                                    const impact::Samples &     samples,
                                    const std::vector<double> & parametersOfWarp,
                                    const ParametersType &      parameters) const;

  impact::LevelSettings                           m_LevelSettings;
  impact::ModelRepositoryPointer                  m_Models;
  std::optional<impact::Engine>                   m_Engine;
  uint64_t                                        m_Seed{ 0 };
  bool                                            m_MakesFeaturesAside{ false };
  std::function<void(const impact::MapToWrite &)> m_MapWriter;
  std::function<void(const std::string &)>        m_MessageWriter;
  std::shared_ptr<impact::Workers>                m_Workers; // of one level after the other
  std::unique_ptr<impact::MetricLevel>            m_Level;
};

} // namespace itk

#ifndef ITK_MANUAL_INSTANTIATION
#  include "itkImpactImageToImageMetric.hxx"
#endif

#endif
