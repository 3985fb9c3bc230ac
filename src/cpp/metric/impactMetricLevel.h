#ifndef impactMetricLevel_h
#define impactMetricLevel_h

#include "impact/api/engine.h"
#include "impact/api/similarity.h"
#include "impactEvaluationContext.h"
#include "impactIntensityComparison.h"
#include "impactPatchEvaluation.h"
#include "impactSamples.h"
#include "impactStaticEvaluation.h"

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace impact
{

/** What a level is made of. */
struct MetricLevelInput
{
  /** Its workers are used for all of the level; times and log are the level's own. With a DeviceGeometry, evaluations
   * stay on the device from the points to the derivative. */
  SimilarityInput similarity;

  std::vector<float> fixedPixels; // where similarity.fixed views these
  std::vector<float> movingPixels;

  std::unique_ptr<Intensity>    fixed;
  std::unique_ptr<Intensity>    moving;
  std::unique_ptr<PointMapping> mapping;
  std::optional<Matrix>         gradientScale; // of gradients with respect to moving points
  IntensityRange                fixedRange{};  // of the intensities, within the masks; only for MutualInformationWeight
  IntensityRange                movingRange{};
  std::vector<double>           start; // the transform's parameters at first; only for BendingEnergyLimit

  /** What keeps evaluations from staying on the device, where there is no DeviceGeometry; for the log. */
  std::string whyNotOnDevice;

  /** Whether features in Static mode may be left to the threads but one. It is done where nothing is lost by it: with
   * two threads or more, and networks that the waiting thread can join. */
  bool mayMakeFeaturesAside{ false };

  /** Receives what the user should know of, once a level; may be empty. */
  std::function<void(const std::string &)> tell;
};

/** One resolution level of a metric: it makes the features or readies the networks when it begins, evaluates, and lets
 * go of them at its end. It is in one of three states:
 *
 *   making    Static mode, where other threads make the features: the first evaluation waits for them
 *   Static    features of both images
 *   patches   networks, in Jacobian mode
 *
 * Sums are made in an order that does not depend on the number of threads: same input, same result to the bit. To be
 * used by one thread at a time, which may hold Python's lock: it is let go of where that takes time. */
class MetricLevel
{
public:
  /** \throws Error for what a user can mend. */
  explicit MetricLevel(MetricLevelInput && input);
  ~MetricLevel();
  MetricLevel(const MetricLevel &) = delete;
  MetricLevel & operator=(const MetricLevel &) = delete;

  bool
  GetFeaturesAreAside() const
  {
    return std::holds_alternative<Making>(m_State);
  }

  /** Waits for features that are made aside, and helps. \return the seconds that they took; none where none were made
   * aside. \throws what kept them from being made, each time. */
  std::optional<double> WaitForFeatures();

  bool
  GetEvaluatesOnDevice() const
  {
    return m_Input.similarity.deviceGeometry.has_value();
  }

  /** The transform, as the evaluations see it. */
  PointMapping &
  GetMapping()
  {
    return *m_Context.mapping;
  }

  Workers &
  GetWorkers()
  {
    return *m_Context.workers;
  }

  StageTimes &
  GetTimes()
  {
    return m_Context.times;
  }

  /** The next evaluation makes the moving features anew, where FeaturesMapUpdateInterval asks for it. */
  void RequestMovingFeatures();

  /** Whether the moving features are made of the warped moving image. */
  bool
  GetWarpsMovingImage() const
  {
    return std::holds_alternative<StaticEvaluation>(m_State) &&
           m_Input.similarity.settings.featuresMapUpdateInterval > 0;
  }

  /** Where they are, makes them anew if that is due. \return the parameters of the transform when they were made last
   */
  const std::vector<double> & UpdateMovingFeatures(const std::vector<double> & parameters);

  /** \param warped null where the moving features are those of the moving image itself
   * \param derivative none: the value alone */
  double
  Evaluate(const Samples & samples, const WarpedSamples * warped, const std::optional<DerivativeView> & derivative);

  /** \param points the sampler's, three numbers each
   * \param derivative none: the value alone */
  DeviceResult EvaluateOnDevice(std::vector<double> && points, const std::optional<DerivativeView> & derivative);

  /** Whether AddMutualInformation() wants the samples. */
  bool
  GetComparesIntensities() const
  {
    return m_IntensityComparison.has_value();
  }

  /** What EvaluateOnDevice() leaves out: minus the mutual information of the samples' intensities, times the level's
   * weight for it; 0 where there is none.
   *
   * \param derivative what this has of it is added to what is there */
  double AddMutualInformation(const Samples & samples, const std::optional<DerivativeView> & derivative);

  /** What that was at the last evaluation with a derivative, or at the last one where none had any. */
  double
  GetMutualInformation() const
  {
    return m_LastMutualInformation;
  }

  /** The transform's bending energy times the level's weight for it; 0 where there is none.
   *
   * \param parameters those of the transform
   * \param derivative what this has of it is added to what is there */
  double AddBendingEnergy(const double * parameters, const std::optional<DerivativeView> & derivative);

  /** One line where BendingEnergyLimit has lowered the weight, for the log; else empty. */
  std::string DescribeBendingEnergy() const;

  /** What that was last. */
  double
  GetBendingEnergy() const
  {
    return m_LastBendingEnergy;
  }

  /** Why the last evaluation failed, in the user's terms; empty where it did not. */
  std::string &
  Failure()
  {
    return m_Failure;
  }

  /** One line per feature map, or for patches smaller than asked for, for the log. */
  std::string DescribeFeatures();

  /** One line on what runs on the level's GPU, for the log; empty on the CPU. */
  std::string DescribeDevice() const;

private:
  struct FeaturesMadeAside
  {
    std::unique_ptr<StaticSimilarity> similarity;
    double                            seconds{ 0.0 };
  };
  using Making = std::shared_future<std::shared_ptr<FeaturesMadeAside>>;

  /** Makes the features, here or aside. */
  void MakeFeatures();

  /** Leaves the making of features to another thread. \return whether the machine gives one */
  bool MakeAside();

  void BecomeStatic(std::unique_ptr<StaticSimilarity> similarity);

  /** Compares the intensities, where the level does; what it is is kept. */
  double CompareIntensities(const Samples & samples, bool withGradient);

  /** \throws Error where the transform may bend in a way that is not known. */
  void MakeBendingEnergy();

  void Tell(const std::string & message);

  MetricLevelInput         m_Input; // but for what the context has taken
  EvaluationContext        m_Context;
  bool                     m_HasTold{ false };
  std::atomic<bool>        m_IsMakingAside{ false };
  std::vector<std::string> m_Untold;         // of what is made aside
  std::vector<double>      m_PointsOnDevice; // the sampler's, as they last went up
  std::string              m_Failure;

  std::optional<IntensityComparison> m_IntensityComparison;
  double                             m_LastMutualInformation{ 0.0 }; // times minus its weight
  bool                               m_LastHadGradient{ false };

  std::optional<BendingEnergy> m_BendingEnergy;
  double                       m_BendingEnergyWeight{ 0.0 };
  double                       m_LastBendingEnergy{ 0.0 }; // times its weight

  std::variant<std::monostate, Making, StaticEvaluation, PatchEvaluation> m_State; // the first: within the constructor
};

} // namespace impact

#endif
