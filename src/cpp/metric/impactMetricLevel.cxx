#include "impactMetricLevel.h"

#include "impact/base/error.h"
#include "impact/base/python_gil.h"
#include "impact/settings/unfit_components.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <sstream>
#include <system_error>
#include <utility>

namespace impact
{

MetricLevel::MetricLevel(MetricLevelInput && input)
  : m_Input(std::move(input))
  , m_Context{ std::move(m_Input.fixed),
               std::move(m_Input.moving),
               std::move(m_Input.mapping),
               m_Input.similarity.workers,
               m_Input.gradientScale,
               {},
               {} }
{
  m_Input.similarity.times = &m_Context.times;
  m_Input.similarity.log = [this](const std::string & message) { this->Tell(message); };

  this->MakeBendingEnergy();
  if (const double weight = m_Input.similarity.settings.mutualInformationWeight; weight > 0.0)
  {
    m_IntensityComparison.emplace(weight, m_Input.fixedRange, m_Input.movingRange);
  }
  const PythonGilRelease gilRelease;
  const StageTimer       timer(&m_Context.times, Stage::Features);
  if (m_Input.similarity.settings.mode == Mode::Static)
  {
    this->MakeFeatures();
  }
  else
  {
    m_State.emplace<PatchEvaluation>(m_Input.similarity).TryPatches(m_Context);
  }
}


MetricLevel::~MetricLevel()
{
  const PythonGilRelease gilRelease;
  m_State = {}; // waits for the end of what is made aside
  m_Context.workers->limit(std::numeric_limits<int>::max());
}


void
MetricLevel::MakeFeatures()
{
  const SimilarityInput & input = m_Input.similarity;
  const bool aside = m_Input.mayMakeFeaturesAside && m_Context.workers->numberOfThreads() > 1 && !input.writer &&
                     StaticSimilarity::runsOnWorkers(input);
  if (!aside || !this->MakeAside())
  {
    this->BecomeStatic(std::make_unique<StaticSimilarity>(input));
  }
}


bool
MetricLevel::MakeAside()
{
  const auto make = [this] {
    const ThreadWithoutPython noPython;
    const auto                begin = StageTimer::Clock::now();
    const auto                made = std::make_shared<FeaturesMadeAside>();
    made->similarity = std::make_unique<StaticSimilarity>(m_Input.similarity);
    made->seconds = std::chrono::duration<double>(StageTimer::Clock::now() - begin).count();
    return made;
  };
  const int numberOfThreads = m_Context.workers->numberOfThreads();
  m_Context.workers->limit(numberOfThreads - 1);
  m_IsMakingAside = true;
  try
  {
    m_State = Making(std::async(std::launch::async, make));
    return true;
  }
  catch (const std::system_error &) // the machine gives no more threads
  {
    m_IsMakingAside = false;
    m_Context.workers->limit(numberOfThreads);
    return false;
  }
}


void
MetricLevel::BecomeStatic(std::unique_ptr<StaticSimilarity> similarity)
{
  m_State.emplace<StaticEvaluation>(std::move(similarity));
}


std::optional<double>
MetricLevel::WaitForFeatures()
{
  const auto * const making = std::get_if<Making>(&m_State);
  if (!making)
  {
    return std::nullopt;
  }
  std::shared_ptr<FeaturesMadeAside> made;
  {
    const PythonGilRelease gilRelease;
    const StageTimer       timer(&m_Context.times, Stage::Features);
    m_Context.workers->limit(std::numeric_limits<int>::max());
    made = making->get();
  }
  m_IsMakingAside = false;
  this->BecomeStatic(std::move(made->similarity));
  m_Context.times.secondsAside = made->seconds;
  for (const std::string & message : m_Untold)
  {
    this->Tell(message);
  }
  return made->seconds;
}


void
MetricLevel::RequestMovingFeatures()
{
  if (auto * const evaluation = std::get_if<StaticEvaluation>(&m_State))
  {
    evaluation->RequestWarp();
  }
}


const std::vector<double> &
MetricLevel::UpdateMovingFeatures(const std::vector<double> & parameters)
{
  return std::get<StaticEvaluation>(m_State).WarpWhereDue(m_Context, parameters);
}


double
MetricLevel::Evaluate(const Samples &                       samples,
                      const WarpedSamples * const           warped,
                      const std::optional<DerivativeView> & derivative)
{
  if (auto * const evaluation = std::get_if<PatchEvaluation>(&m_State))
  {
    const double ofFeatures = evaluation->Evaluate(m_Context, samples, derivative);
    return ofFeatures + this->AddMutualInformation(samples, derivative);
  }
  const double ofIntensities = this->CompareIntensities(samples, derivative.has_value());
  return ofIntensities + std::get<StaticEvaluation>(m_State).Evaluate(
                           m_Context,
                           samples,
                           m_IntensityComparison ? &m_IntensityComparison->GetGradient() : nullptr,
                           warped,
                           derivative);
}


DeviceResult
MetricLevel::EvaluateOnDevice(std::vector<double> && points, const std::optional<DerivativeView> & derivative)
{
  const KnownTransform transform = m_Context.mapping->GetKnown();
  DeviceEvaluation     evaluation{ &transform, nullptr };
  if (points != m_PointsOnDevice)
  {
    m_PointsOnDevice = std::move(points);
    evaluation.newPoints = &m_PointsOnDevice;
  }
  DeviceResult result;
  try
  {
    const bool withGradient = derivative.has_value();
    if (auto * const patches = std::get_if<PatchEvaluation>(&m_State))
    {
      result = patches->GetSimilarity().evaluateOnDevice(evaluation, withGradient);
    }
    else
    {
      result = std::get<StaticEvaluation>(m_State).GetSimilarity().evaluateOnDevice(evaluation, withGradient);
    }
  }
  catch (const std::exception &)
  {
    m_PointsOnDevice.clear();
    throw;
  }
  if (derivative && !result.sums.empty())
  {
    m_Context.mapping->FromSums(result.sums.data(), derivative->values, derivative->size);
  }
  return result;
}


double
MetricLevel::CompareIntensities(const Samples & samples, const bool withGradient)
{
  if (!m_IntensityComparison || samples.size() == 0)
  {
    return 0.0;
  }
  const double value = m_IntensityComparison->Evaluate(m_Context, samples, withGradient);
  // Some hosts ask for the value of other samples beside: elastix with ShowExactMetricValue.
  if (withGradient || !m_LastHadGradient)
  {
    m_LastMutualInformation = value;
    m_LastHadGradient = withGradient;
  }
  return value;
}


double
MetricLevel::AddMutualInformation(const Samples & samples, const std::optional<DerivativeView> & derivative)
{
  const double value = this->CompareIntensities(samples, derivative.has_value());
  if (m_IntensityComparison && derivative && samples.size() > 0)
  {
    std::vector<double> more(derivative->size);
    m_Context.ApplyChainRule(pointGradientsOf(samples.fixedPoints, m_IntensityComparison->GetGradient()),
                             { more.data(), more.size() });
    std::transform(more.begin(), more.end(), derivative->values, derivative->values, std::plus<double>());
  }
  return value;
}


void
MetricLevel::MakeBendingEnergy()
{
  const LevelSettings & settings = m_Input.similarity.settings;
  if (settings.bendingEnergyWeight == 0.0)
  {
    return;
  }
  if (const std::optional<ControlPoints> points = m_Context.mapping->GetControlPoints())
  {
    m_BendingEnergy.emplace(*points);
    m_BendingEnergyWeight = settings.bendingEnergyWeight;
    if (settings.bendingEnergyLimit > 0.0)
    {
      const double energy = m_BendingEnergy->evaluate(m_Input.start.data(), 0.0, nullptr, *m_Context.workers);
      if (m_BendingEnergyWeight * energy > settings.bendingEnergyLimit)
      {
        m_BendingEnergyWeight = settings.bendingEnergyLimit / energy;
      }
    }
  }
  else if (!m_Context.mapping->IsLinear())
  {
    const Problem problem =
      unfitForBendingEnergy(settings.bendingEnergyWeight, "the transform " + m_Context.mapping->GetNameOfTransform());
    throw Error(
      settings.inWords(ParameterError("BendingEnergyWeight", problem.text, problem.remedy, problem.kind), ""));
  }
}


double
MetricLevel::AddBendingEnergy(const double * const parameters, const std::optional<DerivativeView> & derivative)
{
  if (!m_BendingEnergy)
  {
    return 0.0;
  }
  const StageTimer timer(&m_Context.times, Stage::BendingEnergy);
  m_LastBendingEnergy = m_BendingEnergyWeight * m_BendingEnergy->evaluate(parameters,
                                                                          m_BendingEnergyWeight,
                                                                          derivative ? derivative->values : nullptr,
                                                                          *m_Context.workers);
  return m_LastBendingEnergy;
}


std::string
MetricLevel::DescribeBendingEnergy() const
{
  const LevelSettings & settings = m_Input.similarity.settings;
  if (!m_BendingEnergy || m_BendingEnergyWeight == settings.bendingEnergyWeight)
  {
    return {};
  }
  std::ostringstream text;
  text << "  The bending energy's weight is " << m_BendingEnergyWeight << ": more would cost the start more than "
       << settings.nameOf("BendingEnergyLimit") << ' ' << settings.bendingEnergyLimit << '\n';
  return text.str();
}


std::string
MetricLevel::DescribeFeatures()
{
  if (auto * const patches = std::get_if<PatchEvaluation>(&m_State))
  {
    return patches->GetSimilarity().describe();
  }
  auto * const features = std::get_if<StaticEvaluation>(&m_State);
  return features ? features->GetSimilarity().describe() : std::string();
}


std::string
MetricLevel::DescribeDevice() const
{
  const int number = m_Input.similarity.settings.gpu;
  if (number < 0)
  {
    return {};
  }
  const std::string gpu = "  On GPU " + std::to_string(number);
  return this->GetEvaluatesOnDevice()
           ? gpu + ": features, distances, mapping of points and chain rule" +
               (m_IntensityComparison ? "; on the CPU: mutual information\n" : "\n")
           : gpu + ": features and distances. On the CPU: mapping of points and chain rule, because " +
               m_Input.whyNotOnDevice + "\n";
}


void
MetricLevel::Tell(const std::string & message)
{
  if (m_IsMakingAside) // from the thread that does: the user must not hear of it from there
  {
    m_Untold.push_back(message);
  }
  else if (m_Input.tell && !std::exchange(m_HasTold, true))
  {
    m_Input.tell(message);
  }
}

} // namespace impact
