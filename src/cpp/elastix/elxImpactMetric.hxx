#ifndef elxImpactMetric_hxx
#define elxImpactMetric_hxx

#include "elxImpactMetric.h"

#include "elxImpactError.h"
#include "elxImpactFeatureMaps.h"
#include "elxImpactParameterMap.h"
#include "elxImpactStop.h"
#include "impact/api/level_check.h"
#include "impact/api/messages.h"
#include "impact/api/model_prints.h"
#include "impact/base/random.h"
#include "impact/settings/check_image.h"
#include "impactGridOf.h"

#include "itkTimeProbe.h"

#include <optional>
#include <utility>

namespace elastix
{

template <typename TElastix>
void
ImpactMetric<TElastix>::BeforeRegistration()
{
  const Configuration & configuration = itk::Deref(this->GetConfiguration());

  // The same parameter and default as elastix's own registration components.
  unsigned int numberOfLevels = 3;
  configuration.ReadParameter(numberOfLevels, "NumberOfResolutions", 0, false);

  const std::string      label = this->GetComponentLabel();
  impact::ParsedSettings parsed = impact::parseSettings(
    ParameterMapOf(configuration), label, static_cast<int>(numberOfLevels), static_cast<int>(FixedImageDimension));
  // Later elastixes warn of each parameter that they were not asked for, and we have taken ours from the whole map.
  for (const std::string & name : impact::namesRead(parsed))
  {
    configuration.HasParameter(name);
  }
  std::vector<impact::Finding> findings = parsed.findings;
  this->CheckNumbersOfImages(findings);

  // In a map of several metrics each has its own images, if there are several.
  auto &             elastix = *this->GetElastix();
  const unsigned int number = this->GetMetricNumber();
  const auto &       fixedImage = *elastix.GetFixedImage(number < elastix.GetNumberOfFixedImages() ? number : 0);
  const auto &       movingImage = *elastix.GetMovingImage(number < elastix.GetNumberOfMovingImages() ? number : 0);

  // Of images that are wrong in themselves, nothing more is said.
  std::vector<impact::Finding> ofImages = this->CheckImages(fixedImage, movingImage);
  const bool                   imagesAreRight = !impact::hasErrors(ofImages);
  for (impact::Finding & finding : ofImages)
  {
    impact::addFinding(findings, std::move(finding));
  }
  const auto gridOf = [&](const auto & image) {
    return imagesAreRight ? std::optional(impact::GridOf(image)) : std::nullopt;
  };

  if (!BaseComponent::IsElastixLibrary())
  {
    impact::markPrints();
  }
  // Models are opened even where parameters are wrong: all that is to be said is said at once.
  const auto models = impact::makeModelRepository();
  const auto workers = std::make_shared<impact::Workers>(
    static_cast<int>(itk::MultiThreaderBase::GetGlobalMaximumNumberOfThreads())); // elastix's -threads
  for (impact::LevelSettings & level : parsed.levels)
  {
    impact::LevelToCheck toCheck{ level };
    toCheck.settingsAreRight = !impact::hasErrors(parsed.findings);
    toCheck.fixedGrid = gridOf(fixedImage);
    toCheck.movingGrid = gridOf(movingImage);
    toCheck.models = models;
    toCheck.workers = workers;
    for (impact::Finding & finding : impact::checkLevel(toCheck).findings)
    {
      impact::addFinding(findings, std::move(finding));
    }
    PrepareFeatureMapsFolder(level, configuration.GetCommandLineArgument("-out"), findings);
  }
  const std::string who = "Metric \"Impact\"" + (label.empty() || label == "Metric" ? "" : " (" + label + ")");
  if (const std::string warnings = messagesOf(findings, impact::Finding::Severity::Warning); !warnings.empty())
  {
    log::warn(who + ":\n" + warnings);
  }
  if (const std::string note = impact::noteOnLosses(parsed.levels); !note.empty())
  {
    log::info(who + ": " + note);
  }
  typename FixedImageType::DirectionType direction;
  direction.SetIdentity();
  elastix.GetOriginalFixedImageDirection(direction);
  if (!elastix.GetUseDirectionCosines() && !direction.GetVnlMatrix().is_identity(1e-6))
  {
    log::warn(who +
              ": UseDirectionCosines is \"false\", and the axes of the fixed image are not x, y and z: the points of "
              "the transform file are those of images without direction cosines.");
  }
  if (const std::string errors = messagesOf(findings, impact::Finding::Severity::Error); !errors.empty())
  {
    throw ImpactError(__FILE__, __LINE__, "Metric \"Impact\" cannot run:\n" + errors);
  }
  m_Levels = parsed.levels;
  this->SetModelRepository(models);
}


template <typename TElastix>
void
ImpactMetric<TElastix>::CheckNumbersOfImages(std::vector<impact::Finding> & findings) const
{
  const auto &       elastix = *this->GetElastix();
  const unsigned int metrics = elastix.GetNumberOfMetrics();
  const auto         check = [&](const std::string & side, const std::string & flag, const unsigned int images) {
    if (images > metrics)
    {
      findings.push_back(
        { { impact::Problem::Kind::Image,
            "elastix was given " + std::to_string(images) + " " + side + " images, but the map has " +
              (metrics == 1 ? "one metric" : std::to_string(metrics) + " metrics") +
              ", each of which compares one pair.",
            "Give one image by " + flag +
              ", or (Registration \"MultiMetricMultiResolutionRegistration\") and a metric for each." },
          impact::Finding::Severity::Error });
    }
  };
  check("fixed", "-f", elastix.GetNumberOfFixedImages());
  check("moving", "-m", elastix.GetNumberOfMovingImages());
}


template <typename TElastix>
std::vector<impact::Finding>
ImpactMetric<TElastix>::CheckImages(const FixedImageType & fixed, const MovingImageType & moving) const
{
  const std::string number = std::to_string(this->GetMetricNumber());
  const auto        nameOf = [&](const std::string & side, const std::string & flag) {
    std::string file = this->GetConfiguration()->GetCommandLineArgument(flag + number);
    file = file.empty() ? this->GetConfiguration()->GetCommandLineArgument(flag) : file;
    return "The " + side + " image" + (file.empty() ? "" : " \"" + file + "\"");
  };
  std::vector<float> buffer;
  auto               findings = impact::checkImage(this->ViewOf(fixed, buffer), nameOf("fixed", "-f"));
  for (impact::Finding & finding : impact::checkImage(this->ViewOf(moving, buffer), nameOf("moving", "-m")))
  {
    findings.push_back(std::move(finding));
  }
  return findings;
}


template <typename TElastix>
unsigned int
ImpactMetric<TElastix>::GetMetricNumber() const
{
  const std::string label = this->GetComponentLabel(); // Metric0, Metric1, ...
  const auto        digits = label.find_first_of("0123456789");
  return digits == std::string::npos ? 0 : static_cast<unsigned int>(std::stoul(label.substr(digits)));
}


template <typename TElastix>
void
ImpactMetric<TElastix>::BeforeEachResolution()
{
  const unsigned int level = this->m_Registration->GetAsITKBaseType()->GetCurrentLevel();

  std::uint64_t seed = impact::defaultRandomSeed;
  this->GetConfiguration()->ReadParameter(seed, "RandomSeed", 0, false);

  const impact::LevelSettings & settings = m_Levels.at(level);
  this->SetLevelSettings(settings);
  this->SetSeed(seed + level);
  this->SetMapWriter({});
  if (!settings.featureMapsFolder.empty())
  {
    this->SetMapWriter(
      [folder = settings.featureMapsFolder](const impact::MapToWrite & map) { WriteFeatureMap(folder, map); });
  }
  this->SetMessageWriter([this](const std::string & message) {
    if (!std::exchange(m_HasWarnedWhileRunning, true))
    {
      log::warn("Metric \"Impact\": " + message);
    }
  });
  this->SetMakesFeaturesAside(this->GetOptimizerEstimatesFirst(level));
  this->BoundWorkUnitsOfSum();
  if (level == 0 && this->GetStepSizeEstimation(level) == StepSizeEstimation::Displacements)
  {
    log::info(
      "Metric \"Impact\": with (ASGDParameterEstimationMethod \"DisplacementDistribution\") elastix adds up its step "
      "size over its threads: the same result to the bit needs the same -threads. \"Original\" does not.");
  }
  this->UseColumn("MutualInformation", settings.mutualInformationWeight > 0.0);
  this->UseColumn("BendingEnergy", settings.bendingEnergyWeight > 0.0);
  m_IterationsSinceUpdate = 0;
  m_IterationsOfLevel = 0;
}


template <typename TElastix>
void
ImpactMetric<TElastix>::UseColumn(const std::string & part, const bool isUsed)
{
  const std::string column = this->GetColumn(part);
  this->RemoveTargetCellFromIterationInfo(column.c_str());
  if (isUsed)
  {
    this->AddTargetCellToIterationInfo(column.c_str());
    this->GetIterationInfoAt(column.c_str()) << std::showpoint << std::fixed;
  }
}


template <typename TElastix>
void
ImpactMetric<TElastix>::BoundWorkUnitsOfSum()
{
  using SumType = itk::AdvancedImageToImageMetric<FixedImageType, MovingImageType>;
  auto * const sum = dynamic_cast<SumType *>(this->m_Registration->GetAsITKBaseType()->GetModifiableMetric());
  if (sum && sum->GetNumberOfWorkUnits() > this->GetNumberOfWorkUnits())
  {
    sum->SetNumberOfWorkUnits(this->GetNumberOfWorkUnits());
  }
}


template <typename TElastix>
auto
ImpactMetric<TElastix>::GetStepSizeEstimation(const unsigned int level) const -> StepSizeEstimation
{
  // The parameters and defaults of that optimizer.
  const Configuration & configuration = itk::Deref(this->GetConfiguration());
  std::string           optimizer;
  configuration.ReadParameter(optimizer, "Optimizer", 0, false);
  const std::string label = this->GetElastix()->GetElxOptimizerBase()->GetComponentLabel();
  bool              estimates = true;
  configuration.ReadParameter(estimates, "AutomaticParameterEstimation", label, level, 0, false);
  std::string method = "Original";
  configuration.ReadParameter(method, "ASGDParameterEstimationMethod", label, 0, 0, false);
  if (optimizer != "AdaptiveStochasticGradientDescent" || !estimates)
  {
    return StepSizeEstimation::None;
  }
  return method == "DisplacementDistribution" ? StepSizeEstimation::Displacements : StepSizeEstimation::Jacobians;
}


template <typename TElastix>
bool
ImpactMetric<TElastix>::GetOptimizerEstimatesFirst(const unsigned int level) const
{
  const auto & elastix = *this->GetElastix();
  for (unsigned int i = 0; i < elastix.GetNumberOfMetrics(); ++i)
  {
    const auto * const metric = elastix.GetElxMetricBase(i);
    if (dynamic_cast<const Self *>(metric) && metric != static_cast<const Superclass2 *>(this))
    {
      return false;
    }
  }
  return this->GetStepSizeEstimation(level) == StepSizeEstimation::Jacobians;
}


template <typename TElastix>
void
ImpactMetric<TElastix>::Initialize()
{
  itk::TimeProbe timer;
  timer.Start();
  try
  {
    Superclass1::Initialize();
  }
  catch (const itk::ExceptionObject &)
  {
    throw;
  }
  catch (const std::exception & error)
  {
    throw ImpactError(__FILE__, __LINE__, std::string("Metric \"Impact\" cannot run:\n") + impact::messageOf(error));
  }
  timer.Stop();
  impact::MetricLevel & level = *this->GetLevel();
  const std::string     features = level.GetFeaturesAreAside()
                                     ? "  Features are made while elastix estimates its step size\n"
                                     : level.DescribeFeatures();
  log::info(std::ostringstream{} << "Metric \"Impact\", resolution level " << this->GetLevelSettings().level << ":\n"
                                 << impact::describe(this->GetLevelSettings()) << features << level.DescribeDevice()
                                 << level.DescribeBendingEnergy() << "Initialization of Impact metric took: "
                                 << static_cast<std::int64_t>(timer.GetMean() * 1000) << " ms.");
}


template <typename TElastix>
void
ImpactMetric<TElastix>::AfterFeaturesAside(const double seconds) const
{
  log::info(std::ostringstream{} << "Metric \"Impact\", resolution level " << this->GetLevelSettings().level
                                 << ", features made in " << static_cast<std::int64_t>(seconds * 1000) << " ms:\n"
                                 << this->GetLevel()->DescribeFeatures());
}


template <typename TElastix>
void
ImpactMetric<TElastix>::AfterEachIteration()
{
  if (this->GetLevelSettings().mutualInformationWeight > 0.0)
  {
    this->GetIterationInfoAt(this->GetColumn("MutualInformation").c_str()) << this->GetLevel()->GetMutualInformation();
  }
  if (this->GetLevelSettings().bendingEnergyWeight > 0.0)
  {
    this->GetIterationInfoAt(this->GetColumn("BendingEnergy").c_str()) << this->GetLevel()->GetBendingEnergy();
  }
  ++m_IterationsOfLevel;
  if (++m_IterationsSinceUpdate == this->GetLevelSettings().featuresMapUpdateInterval)
  {
    this->RequestMovingFeatures();
    m_IterationsSinceUpdate = 0;
  }
  if (IsStopRequested())
  {
    StopOptimizer(*this->m_Registration->GetAsITKBaseType()->GetModifiableOptimizer());
  }
}


template <typename TElastix>
void
ImpactMetric<TElastix>::AfterEachResolution()
{
  impact::MetricLevel & level = *this->GetLevel();
  log::info("Metric \"Impact\", resolution level " + std::to_string(this->GetLevelSettings().level) +
            " took: " + level.GetTimes().describe() + ".");
  if (const std::string & failure = level.Failure(); !failure.empty())
  {
    throw ImpactError(__FILE__,
                      __LINE__,
                      level.GetFeaturesAreAside() ? "Metric \"Impact\" cannot run:\n" + failure
                                                  : "Metric \"Impact\" cannot go on (resolution level " +
                                                      std::to_string(this->GetLevelSettings().level) + ", iteration " +
                                                      std::to_string(m_IterationsOfLevel) + "):\n" + failure);
  }
}


template <typename TElastix>
void
ImpactMetric<TElastix>::AfterRegistration()
{
  // Whoever keeps the registration object does not keep the features with it.
  this->Release();
}

} // namespace elastix

#endif
