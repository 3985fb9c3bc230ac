#pragma once

#include "impact/base/pool.h"
#include "impact/base/workers.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace impact
{

/** Memory for floats, aligned for vectors, not initialised. */
class FloatBuffer
{
public:
  /** \return room for so many; what was there before is lost where it grows */
  float * get(std::size_t count);

private:
  std::unique_ptr<float[]> m_Floats;
  std::size_t              m_Count{ 0 };
};

/** Mean and sum of squared differences from it, for each channel, of so many voxels; parts of a volume add up. */
struct Moments
{
  double              voxels{ 0.0 };
  std::vector<double> mean;
  std::vector<double> squares;

  void of(const float * x, std::int64_t count, std::int64_t channels);
  void add(const Moments & other);
};

/** What one thread at a time works with in a unit of a chain: memory that is used again and again, for what does not
 * outlive a task. */
struct ChainWorkspace
{
  FloatBuffer spectral; // SpectralKernels::convolve()'s
  FloatBuffer volume;   // a volume with its padding, or as its map makes it
  FloatBuffer products; // of rows and weights
  Moments     moments;
};

/** How the tasks of a volume are done: one after the other with one memory, or by the workers of this thread. */
class TaskLoop
{
public:
  using Task = std::function<void(std::int64_t, ChainWorkspace &)>;

  /** \param own for all tasks
   * \param pool null, or what the tasks that run at the same time take theirs from; `own` is then the caller's alone */
  explicit TaskLoop(ChainWorkspace & own, Pool<ChainWorkspace> * pool = nullptr)
    : m_Own(own)
    , m_Pool(pool)
  {}

  /** Calls the task with 0 ... count - 1. */
  void run(std::int64_t count, const Task & task) const;

  /** The memory of who calls run(): what is in its `volume` stays there meanwhile. */
  ChainWorkspace &
  own() const
  {
    return m_Own;
  }

private:
  ChainWorkspace &       m_Own;
  Pool<ChainWorkspace> * m_Pool;
};

} // namespace impact
