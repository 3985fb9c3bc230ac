#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace impact
{

enum class Stage
{
  Features,  // of whole images, with opening and trying models
  Mapping,   // of the samples by the transform
  Sampling,  // of images in patches, or of feature maps
  Network,   // forward and back
  Distance,  // with its gradient
  ChainRule, // from points to the transform's parameters
  MutualInformation,
  BendingEnergy
};

/** Where the time of a level goes. */
struct StageTimes
{
  static constexpr std::size_t numberOfStages = 8;

  std::array<double, numberOfStages> seconds{};
  std::int64_t                       evaluations{ 0 };
  double                             secondsAside{ 0.0 }; // made while elastix did other things, seconds

  /** One line: milliseconds per evaluation, but for the features; what the process has used of memory at most. */
  std::string describe() const;
};

/** Adds the time that it lives to a stage. */
class StageTimer
{
public:
  using Clock = std::chrono::steady_clock;

  /** \param times null: nothing is measured */
  StageTimer(StageTimes * times, Stage stage)
    : m_Times(times)
    , m_Stage(stage)
    , m_Begin(times ? Clock::now() : Clock::time_point())
  {}
  ~StageTimer() { stop(); }
  StageTimer(const StageTimer &) = delete;
  StageTimer & operator=(const StageTimer &) = delete;

  void
  stop()
  {
    if (m_Times)
    {
      m_Times->seconds[static_cast<std::size_t>(m_Stage)] +=
        std::chrono::duration<double>(Clock::now() - m_Begin).count();
      m_Times = nullptr;
    }
  }

private:
  StageTimes *      m_Times;
  Stage             m_Stage;
  Clock::time_point m_Begin;
};

} // namespace impact
