#ifndef elxImpactMetric_hxx
#define elxImpactMetric_hxx

#include "elxImpactMetric.h"

#include "elxImpactError.h"
#include "error.h"
#include "impactGridOf.h"
#include "random.h"

#include "itkTimeProbe.h"

#include <set>

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

  const impact::ParsedSettings parsed = impact::parseSettings(
    [&configuration](const std::string & name) { return configuration.GetValuesOfParameter(name); },
    this->GetComponentLabel(),
    static_cast<int>(numberOfLevels),
    static_cast<int>(FixedImageDimension));

  if (const std::string warnings = parsed.text(impact::Finding::Severity::Warning); !warnings.empty())
  {
    log::warn("Metric \"Impact\":\n" + warnings);
  }

  // In a map of several metrics each has its own images, if there are several.
  auto &             elastix = *this->GetElastix();
  const unsigned int number = this->GetMetricNumber();
  const auto &       fixedImage = *elastix.GetFixedImage(number < elastix.GetNumberOfFixedImages() ? number : 0);
  const auto &       movingImage = *elastix.GetMovingImage(number < elastix.GetNumberOfMovingImages() ? number : 0);

  // Models are opened even where parameters are wrong: all that is to be said is said at once.
  std::string           errors = parsed.text(impact::Finding::Severity::Error);
  std::set<std::string> said;
  const auto            models = impact::makeModelRepository();
  for (const impact::LevelSettings & level : parsed.levels)
  {
    const auto findings =
      impact::checkLevel(level, !parsed.hasErrors(), impact::GridOf(fixedImage), impact::GridOf(movingImage), models);
    for (const impact::Finding & finding : findings)
    {
      if (said.insert(finding.message).second)
      {
        errors += (errors.empty() ? "" : "\n") + finding.message;
      }
    }
  }
  if (!errors.empty())
  {
    throw ImpactError(__FILE__, __LINE__, "Metric \"Impact\" cannot run:\n" + errors);
  }
  m_Levels = parsed.levels;
  this->SetModelRepository(models);
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

  this->SetLevelSettings(m_Levels.at(level));
  this->SetSeed(seed + level);
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
  log::info(std::ostringstream{} << "Metric \"Impact\":\n"
                                 << impact::describe(this->GetLevelSettings()) << this->DescribeFeatures()
                                 << "Initialization of Impact metric took: "
                                 << static_cast<std::int64_t>(timer.GetMean() * 1000) << " ms.");
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
