#include "impact/chain/chain_workspace.h"

#include "impact/chain/chain_kernels.h"

namespace impact
{

float *
FloatBuffer::get(std::size_t count)
{
  constexpr std::size_t alignment = 64;
  if (count > m_Count)
  {
    m_Count = 0;
    m_Floats.reset(); // the old ones go first
    m_Floats.reset(new float[count + alignment / sizeof(float)]);
    m_Count = count;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(m_Floats.get());
  return reinterpret_cast<float *>((address + alignment - 1) / alignment * alignment);
}

void
Moments::of(const float * x, std::int64_t count, std::int64_t channels)
{
  voxels = static_cast<double>(count);
  mean.resize(static_cast<std::size_t>(channels));
  squares.resize(static_cast<std::size_t>(channels));
  volumeKernels().moments(x, count, static_cast<std::int32_t>(channels), mean.data(), squares.data());
}

void
Moments::add(const Moments & other)
{
  if (voxels == 0.0)
  {
    *this = other;
    return;
  }
  // Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
  const double total = voxels + other.voxels;
  for (std::size_t c = 0; c < mean.size(); ++c)
  {
    const double difference = other.mean[c] - mean[c];
    mean[c] += difference * other.voxels / total;
    squares[c] += other.squares[c] + difference * difference * voxels * other.voxels / total;
  }
  voxels = total;
}

void
TaskLoop::run(std::int64_t count, const Task & task) const
{
  if (m_Pool)
  {
    inParallel(count, [&](std::int64_t i) {
      const Pool<ChainWorkspace>::Loan workspace(*m_Pool);
      task(i, *workspace);
    });
    return;
  }
  for (std::int64_t i = 0; i < count; ++i)
  {
    task(i, m_Own);
  }
}

} // namespace impact
