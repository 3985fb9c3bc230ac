#ifndef itkImpactImageToImageMetric_h
#define itkImpactImageToImageMetric_h

#include "impact/api/similarity.h"
#include "impactIntensity.h"
#include "impactPointMapper.h"
#include "itkAdvancedImageToImageMetric.h"

#include <functional>
#include <future>
#include <memory>
#include <vector>

namespace itk
{

/** \class ImpactImageToImageMetric
 *
 * \brief Compares a fixed and a moving image through the features of pretrained networks.
 *
 * Boussot et al., IMPACT: A Generic Semantic Loss for Multimodal Medical Image Registration, arXiv:2503.24121.
 *
 * This class does the geometry and the chain rule, over its own threads; the features and their comparison are
 * impact::StaticSimilarity's (features made once per level) or impact::PatchSimilarity's (features of patches around
 * every sample, at every evaluation).
 *
 * In Static mode d(value)/d(mu) = sum over samples s of (d(value)/dy_s)^T dT/dmu(x_s). In Jacobian mode the sum runs
 * over every voxel of every patch, each with the transform's derivative at its own place.
 *
 * Sums are made in an order that does not depend on the number of threads: same input, same result to the bit.
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

  /** Where FeaturesMapUpdateInterval asks for it: the next evaluation makes the moving features anew, from the moving
   * image warped by the transform as it then is. */
  void
  RequestMovingFeatures()
  {
    m_MovingFeaturesAreDue = m_LevelSettings.featuresMapUpdateInterval > 0;
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

  /** Whether features are being made, or waiting to be asked for, since Initialize() left them to other threads. */
  bool
  GetFeaturesAreAside() const
  {
    return m_Making.valid() && !m_StaticSimilarity;
  }

  /** One line per feature map of this level, or for patches smaller than asked for, for the log. */
  std::string DescribeFeatures() const;

  /** One line on what runs on the level's GPU, for the log; empty on the CPU. */
  std::string DescribeDevice() const;

  /** Whether evaluations stay on the level's device from the sample points to the derivative. */
  bool
  GetEvaluatesOnDevice() const
  {
    return m_WhyNotOnDevice.empty();
  }

  /** One line on where the time since Initialize() went, for the log. */
  std::string DescribeTimes() const;

  /** Why the last evaluation failed, in the user's terms; empty where it did not. */
  const std::string &
  GetFailure() const
  {
    return m_Failure;
  }

protected:
  ImpactImageToImageMetric();
  ~ImpactImageToImageMetric() override;

  /** Called once the features are there that Initialize() left to other threads. \param seconds how long they took */
  virtual void
  AfterFeaturesAside(double /*seconds*/) const
  {}

  /** \param buffer receives the pixels of an image that is not of floats */
  template <typename TImage>
  static impact::ImageView ViewOf(const TImage & image, std::vector<float> & buffer);

private:
  using FixedPointType = typename Superclass::FixedImagePointType;
  using MovingPointType = typename Superclass::MovingImagePointType;
  using FixedIntensityType = impact::Intensity<TFixedImage>;
  using MovingIntensityType = impact::Intensity<TMovingImage>;

  /** The samples that count: those that map inside the moving image and its mask. Three numbers a point. */
  struct ValidSamples
  {
    std::vector<double> fixedPoints;
    std::vector<double> movingPoints;

    std::size_t
    size() const
    {
      return fixedPoints.size() / 3;
    }
  };

  /** Fixed points, with the gradients with respect to what they are mapped to: what the chain rule runs over, in
   * batches of at most so many. */
  struct PointGradients
  {
    std::size_t numberOfBatches{ 0 };
    std::size_t perBatch{ 0 };
    /** Writes three numbers each. \return how many there are in the batch */
    std::function<std::size_t(std::size_t batch, double * points, double * gradients)> fill;
  };

  /** Makes the features of both images: here and now, or aside. */
  void MakeFeatures(const impact::SimilarityInput & input);

  /** Waits for features that are made aside, and helps. \throws what kept them from being made, each time. */
  void WaitForFeatures() const;

  /** Tells the message writer; the first message of a level alone. */
  void Say(const std::string & message) const;

  /** Lets go of the features of the level; waits for the end of what is made aside. */
  void DropFeatures();

  /** Keeps why an evaluation failed, besides throwing it: elastix's optimizers pass on a copy of what is thrown. */
  MeasureType Evaluate(const ParametersType & parameters, DerivativeType * derivative) const;

  MeasureType EvaluateSamples(const ParametersType & parameters, DerivativeType * derivative) const;

  MeasureType
  EvaluateStatic(const ValidSamples & samples, const ParametersType & parameters, DerivativeType * derivative) const;

  MeasureType EvaluatePatches(const ValidSamples & samples, DerivativeType * derivative) const;

  /** All of an evaluation on the level's device. */
  MeasureType EvaluateOnDevice(DerivativeType * derivative) const;

  /** What keeps an evaluation from staying on the device; empty: nothing. */
  std::string FindWhyNotOnDevice() const;

  /** What the device is to know of the moving mask and of the user's MovingImageDerivativeScales. */
  impact::DeviceGeometry GetDeviceGeometry() const;

  ValidSamples MapSamples() const;

  /** The numbers of the samples, those near each other in a row: their patches then find in the cache what others have
   * read. */
  static std::vector<std::size_t> OrderOfPlace(const ValidSamples & samples);

  void ChainRule(const PointGradients & points, DerivativeType & derivative) const;

  /** Warps the moving image by the transform, whose parameters these are, and makes the moving features from it. */
  void UpdateMovingFeatures(const ParametersType & parameters) const;

  /** The place of each sample in the image warped by T_k at the last update, to first order:
   * x + (dT_k/dx)^-1 (T(x) - T_k(x)).
   *
   * \param toWarped receives (dT_k/dx)^-1 at each sample: the derivative of that place with respect to T(x) */
  std::vector<double> WarpedPoints(const ValidSamples &          samples,
                                   const ParametersType &        parameters,
                                   std::vector<impact::Matrix> & toWarped) const;

  /** Runs the networks on some patches of both images, so that what they refuse is said before the first iteration. */
  void TryPatches() const;

  /** The user's MovingImageDerivativeScales, where there are any. */
  void ScaleGradient(double * gradient) const;

  impact::LevelSettings            m_LevelSettings;
  impact::ModelRepositoryPointer   m_Models;
  std::shared_ptr<impact::Workers> m_Workers;
  uint64_t                         m_Seed{ 0 };

  std::vector<float>                                m_FixedPixels; // where the images are not of float
  std::vector<float>                                m_MovingPixels;
  typename FixedIntensityType::BSplineType::Pointer m_FixedBSpline; // where the order is 2 or more
  FixedIntensityType                                m_FixedIntensity;
  MovingIntensityType                               m_MovingIntensity;
  impact::Matrix                                    m_MovingDirection{};
  mutable std::unique_ptr<impact::StaticSimilarity> m_StaticSimilarity;
  std::unique_ptr<impact::PatchSimilarity>          m_PatchSimilarity;
  std::function<void(const impact::MapToWrite &)>   m_MapWriter;
  std::function<void(const std::string &)>          m_MessageWriter;
  mutable bool                                      m_HasSpoken{ false }; // at this level
  std::string                                       m_WhyNotOnDevice{ "it has not begun" };

  mutable impact::PointMapper<FixedImageDimension> m_Mapper;

  mutable impact::StageTimes m_Times;

  mutable std::string m_Failure;

  // Memory of an evaluation, used again by the next.
  mutable std::vector<std::vector<double>> m_Sums; // of the chain rule
  mutable impact::PatchSimilarity::Patches m_FixedPatches;
  mutable impact::PatchSimilarity::Patches m_MovingPatches;
  mutable impact::PatchSimilarity::Patches m_MovingGradients;

  mutable std::vector<double> m_PointsOnDevice; // the sampler's, as they last went up

  // The transform at the last update of the moving features, and whether they are to be made anew.
  mutable ParametersType m_ParametersOfWarp;
  mutable bool           m_MovingFeaturesAreDue{ false };

  // What other threads make while elastix does without the metric, on one thread.
  struct BackgroundFeatures
  {
    std::unique_ptr<impact::StaticSimilarity> similarity;
    std::shared_ptr<std::vector<std::string>> messages; // for the user, who must not hear of them from there
    double                                    seconds{ 0.0 };
  };
  bool                                                            m_MakesFeaturesAside{ false };
  mutable std::shared_future<std::shared_ptr<BackgroundFeatures>> m_Making;
};

} // namespace itk

#ifndef ITK_MANUAL_INSTANTIATION
#  include "itkImpactImageToImageMetric.hxx"
#  include "itkImpactImageToImageMetricDevice.hxx"
#  include "itkImpactImageToImageMetricPatches.hxx"
#  include "itkImpactImageToImageMetricStatic.hxx"
#endif

#endif
