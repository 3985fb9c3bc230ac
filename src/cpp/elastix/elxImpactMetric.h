#ifndef elxImpactMetric_h
#define elxImpactMetric_h

#include "elxIncludes.h"
#include "itkImpactImageToImageMetric.h"

#include "impact/settings/settings_parser.h"

namespace elastix
{

/**
 * \class ImpactMetric
 * \brief A metric that compares images through the features of pretrained networks.
 *
 * The parameters of this metric. Each may also be written as `Impact<Name>` with one entry per resolution level, or as
 * `Impact<Name><level>` with one list per level, e.g. <tt>(ImpactPatchSize0 5 5 5)</tt>. A level without its own value
 * uses that of level 0. `Fixed` or `Moving` in front of the names marked * gives each image its own models.
 *
 * \parameter Metric: Select this metric as follows:\n
 *    <tt>(Metric "Impact")</tt>
 * \parameter ModelsPath*: TorchScript files, separated by spaces inside one entry per level.\n
 *    example: <tt>(ModelsPath "a.pt b.pt" "a.pt")</tt> \n
 *    There is no default.
 * \parameter Dimension*: 2 or 3, the dimension of each model's input.\n
 *    example: <tt>(Dimension "3 2" "3")</tt> \n
 *    The default is the dimension of the images.
 * \parameter NumberOfChannels*: channels of each model's input; the grey image is repeated.\n
 *    example: <tt>(NumberOfChannels "1 3" "1")</tt> \n
 *    The default is 1.
 * \parameter PatchSize*: in voxels of VoxelSize. Jacobian mode: the patch around each sample. Static mode: 0, the whole
 *    image, or the size of overlapping tiles.\n
 *    example: <tt>(PatchSize "5*5*5 7*7*7" "3*3*3")</tt> \n
 *    The default is 0 in Static mode, 5 in Jacobian mode.
 * \parameter VoxelSize*: in mm, along the axes of the image.\n
 *    example: <tt>(VoxelSize "3*3*3" "1.5*1.5*1.5")</tt> \n
 *    There is no default.
 * \parameter LayersMask*: one 0 or 1 for each output of the model.\n
 *    example: <tt>(LayersMask "01 1" "01")</tt> \n
 *    The default is 1, the first output.
 * \parameter FeatureNormalization*: "none", "l2" (unit length) or "standardized" (zero mean, unit deviation), of each
 *    feature vector over the channels of its layer, before PCA.\n
 *    example: <tt>(FeatureNormalization "none l2" "none")</tt> \n
 *    The default is "none".
 * \parameter Mode: "Static" (features made once per level) or "Jacobian" (features of patches, made at each
 *    iteration).\n
 *    example: <tt>(Mode "Static" "Jacobian")</tt> \n
 *    The default is "Jacobian".
 * \parameter SubsetFeatures: how many channels, drawn at random at each iteration, each selected layer compares.\n
 *    example: <tt>(SubsetFeatures "32" "16")</tt> \n
 *    The default is 0: all.
 * \parameter PCA: how many principal components of its features each selected layer keeps.\n
 *    example: <tt>(PCA "3" "0")</tt> \n
 *    The default is 0: the features as they are.
 * \parameter LayersWeight: the weight of each selected layer.\n
 *    example: <tt>(LayersWeight "1 0.5" "1")</tt> \n
 *    The default is 1.
 * \parameter Distance: "L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC" or "DotProduct", for each selected layer.\n
 *    example: <tt>(Distance "L2 Cosine" "L2")</tt> \n
 *    The default is "L2".
 * \parameter GPU: index of the GPU, or -1 for the CPU.\n
 *    example: <tt>(GPU 0 0)</tt> \n
 *    The default is -1.
 * \parameter UseMixedPrecision: half precision for networks on a GPU, and for feature maps in Static mode.\n
 *    example: <tt>(UseMixedPrecision "true")</tt> \n
 *    The default is "false".
 * \parameter NormalizeLosses: each layer's distance is divided by its own value at the level's first evaluation.\n
 *    example: <tt>(NormalizeLosses "true" "false")</tt> \n
 *    The default is "false".
 * \parameter MutualInformationWeight: times the mutual information of the intensities at the samples, in nats, which is
 * taken from the metric.\n example: <tt>(MutualInformationWeight 0.3 0.3)</tt> \n The default is 0: none.
 * \parameter BendingEnergyWeight: times the mean over the grid of the squared second derivatives of the displacement,
 * added to the metric. For cubic B-splines; what is linear bends nothing.\n example: <tt>(BendingEnergyWeight 10
 * 1)</tt> \n The default is 0: none.
 * \parameter BendingEnergyLimit: what BendingEnergyWeight times the bending energy may be where the level starts; the
 * weight becomes less where it is more.\n example: <tt>(BendingEnergyLimit 0 0.004)</tt> \n The default is 0: none.
 * \parameter FeaturesMapUpdateInterval: Static mode: after so many iterations the moving image is warped by the
 * transform as it then is, and its features are made anew; -1: never.\n example: <tt>(FeaturesMapUpdateInterval 50
 * -1)</tt> \n The default is -1.
 * \parameter WriteFeatureMaps: Static mode: the folder for what the models see and give, as .mha files; "true": the
 *    folder FeatureMaps in elastix's output folder. FeatureMapOutputDirectory is another name for it.\n
 *    example: <tt>(WriteFeatureMaps "features")</tt> \n
 *    The default is "false".
 * \parameter RandomSeed: see elastix::ElastixBase; it drives the random draws of this metric too.
 *
 * \ingroup Metrics
 */
template <typename TElastix>
class ITK_TEMPLATE_EXPORT ImpactMetric
  : public itk::ImpactImageToImageMetric<typename MetricBase<TElastix>::FixedImageType,
                                         typename MetricBase<TElastix>::MovingImageType>
  , public MetricBase<TElastix>
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(ImpactMetric);

  using Self = ImpactMetric;
  using Superclass1 = itk::ImpactImageToImageMetric<typename MetricBase<TElastix>::FixedImageType,
                                                    typename MetricBase<TElastix>::MovingImageType>;
  using Superclass2 = MetricBase<TElastix>;
  using Pointer = itk::SmartPointer<Self>;
  using ConstPointer = itk::SmartPointer<const Self>;

  itkNewMacro(Self);
  itkOverrideGetNameOfClassMacro(ImpactMetric);
  elxClassNameMacro("Impact");

  itkStaticConstMacro(FixedImageDimension, unsigned int, Superclass2::FixedImageDimension);
  using ITKBaseType = typename Superclass2::ITKBaseType;
  using FixedImageType = typename Superclass2::FixedImageType;
  using MovingImageType = typename Superclass2::MovingImageType;

  /** Reads the parameters of all levels, opens the models and tries them. \throws ImpactError with all findings. */
  void BeforeRegistration() override;

  void BeforeEachResolution() override;

  /** Makes the features of the level, timed and logged. */
  void Initialize() override;

  /** Logs what features there are at last. */
  void AfterFeaturesAside(double seconds) const override;

  /** Counts iterations for FeaturesMapUpdateInterval, and ends the level where that is asked for
   * (elxImpactStop.h). */
  void AfterEachIteration() override;

  /** Logs where the time of the level went. \throws ImpactError where an evaluation failed: elastix's optimizers throw
   * a copy of its exception, which is no ImpactError any more, but they end the level first, and so come here. */
  void AfterEachResolution() override;

  void AfterRegistration() override;

protected:
  ImpactMetric() = default;
  ~ImpactMetric() override = default;

private:
  elxOverrideGetSelfMacro;

  /** Finds images that no metric looks at. elastix leaves out those beyond the first where the map has one metric. */
  void CheckNumbersOfImages(std::vector<impact::Finding> & findings) const;

  /** What is wrong with the images that this metric gets; messages name their files where elastix read some. */
  std::vector<impact::Finding> CheckImages(const FixedImageType & fixed, const MovingImageType & moving) const;

  /** In a map of several metrics, elastix 5.3.1 lays out each one's memory for as many work units as -threads says, and
   * then has it run as many as their sum has, which may be more: its own metrics then write beyond their memory. */
  void BoundWorkUnitsOfSum();

  /** How the optimizer estimates the size of its steps at a level: from Jacobians, on one thread and without asking a
   * metric for anything; or from displacements, added up over elastix's threads. */
  enum class StepSizeEstimation
  {
    None,
    Jacobians,
    Displacements
  };
  StepSizeEstimation GetStepSizeEstimation(unsigned int level) const;

  /** Whether elastix's optimizer first estimates its step size, on one thread, without asking a metric for anything;
   * and no other such metric would make features meanwhile. */
  bool GetOptimizerEstimatesFirst(unsigned int level) const;

  /** A column of the iterations' table. \param part what of the metric it has */
  std::string
  GetColumn(const std::string & part) const
  {
    return std::string("2:") + this->GetComponentLabel() + '-' + part;
  }

  /** Has the iterations' table begin or go on with a column, or be without it. */
  void UseColumn(const std::string & part, bool isUsed);

  /** Which of the metrics of the map this is, from 0. */
  unsigned int GetMetricNumber() const;

  std::vector<impact::LevelSettings> m_Levels;
  int                                m_IterationsSinceUpdate{ 0 };
  int                                m_IterationsOfLevel{ 0 };
  bool                               m_HasWarnedWhileRunning{ false };
};

} // namespace elastix

#ifndef ITK_MANUAL_INSTANTIATION
#  include "elxImpactMetric.hxx"
#endif

#endif
