#include "feature_sampling.h"

#include "channels.h"
#include "workers.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

/** By torch's own operations, on any device, for autograd to follow. */
at::Tensor
sampleByTorch(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels)
{
  const auto toTensor = [&points](const Matrix & m) {
    return at::tensor({ m[0][0], m[0][1], m[0][2], m[1][0], m[1][1], m[1][2], m[2][0], m[2][1], m[2][2] }, at::kDouble)
      .view({ 3, 3 })
      .to(points.device());
  };
  const auto & size = map.grid.size;
  const auto   origin =
    at::tensor({ map.grid.origin[0], map.grid.origin[1], map.grid.origin[2] }, at::kDouble).to(points.device());
  const auto index = at::matmul(points - origin, toTensor(map.grid.physicalToIndex()).t());

  // The eight corners are built axis by axis: each axis doubles the flat indices and the weights.
  at::Tensor   corners = at::zeros({ points.size(0), 1 }, at::dtype(at::kLong).device(points.device()));
  at::Tensor   weights = at::ones({ points.size(0), 1 }, at::dtype(at::kFloat).device(points.device()));
  std::int64_t step = 1;
  for (std::int64_t axis = 0; axis < 3; ++axis)
  {
    const std::int64_t n = size[static_cast<std::size_t>(axis)];
    if (n > 1)
    {
      const at::Tensor place = index.select(1, axis).clamp(0.0, static_cast<double>(n - 1));
      const at::Tensor lower = place.detach().floor().clamp_max(static_cast<double>(n - 2));
      const at::Tensor fraction = (place - lower).to(at::kFloat).unsqueeze(1);
      const at::Tensor base = corners + lower.to(at::kLong).unsqueeze(1) * step;
      corners = at::cat({ base, base + step }, 1);
      weights = at::cat({ weights * (1.0 - fraction), weights * fraction }, 1);
    }
    step *= n;
  }
  at::Tensor values = map.rows.index_select(0, corners.reshape({ -1 }));
  values = columns(values, channels);
  values = values.view({ corners.size(0), corners.size(1), values.size(1) });
  return at::bmm(weights.unsqueeze(1), values).squeeze(1);
}

/** The eight voxels around a point, and what each counts. */
struct Corners
{
  std::array<const float *, 8> rows;
  std::array<float, 8>         weights;
  Vector                       fraction; // of the way from the lower to the upper voxel
  Vector                       inside;   // 1, or 0 where the point lies beyond the outermost centres
};

/** Reads a map whose rows lie in this machine's memory, one sample after the other. */
class MapReader
{
public:
  explicit MapReader(const FeatureMap & map)
    : m_Grid(map.grid)
    , m_ToIndex(map.grid.physicalToIndex())
    , m_Rows(map.rows.data_ptr<float>())
    , m_Channels(map.rows.size(1))
  {}

  Corners
  at(const double * const point) const
  {
    const Vector index =
      multiply(m_ToIndex, { point[0] - m_Grid.origin[0], point[1] - m_Grid.origin[1], point[2] - m_Grid.origin[2] });
    Corners                     corners;
    std::array<std::int64_t, 3> step{};
    std::int64_t                base = 0;
    std::int64_t                stride = 1;
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      const auto   last = static_cast<double>(m_Grid.size[axis] - 1);
      const double place = index[axis] > 0.0 ? std::min(index[axis], last) : 0.0; // also of what is no number
      const double lower = std::max(0.0, std::min(std::floor(place), last - 1.0));
      corners.fraction[axis] = place - lower;
      corners.inside[axis] = index[axis] >= 0.0 && index[axis] <= last && last > 0.0 ? 1.0 : 0.0;
      step[axis] = last > 0.0 ? stride : 0;
      base += static_cast<std::int64_t>(lower) * stride;
      stride *= m_Grid.size[axis];
    }
    for (std::size_t k = 0; k < 8; ++k)
    {
      std::int64_t voxel = base;
      double       weight = 1.0;
      for (std::size_t axis = 0; axis < 3; ++axis)
      {
        const bool upper = ((k >> axis) & 1U) != 0;
        voxel += upper ? step[axis] : 0;
        weight *= upper ? corners.fraction[axis] : 1.0 - corners.fraction[axis];
      }
      corners.rows[k] = m_Rows + voxel * m_Channels;
      corners.weights[k] = static_cast<float>(weight);
    }
    return corners;
  }

  /** The gradient at the point of the sum over the corners of weight times sum. */
  Vector
  gradient(const Corners & corners, const std::array<double, 8> & sums) const
  {
    Vector perIndex{};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      for (std::size_t k = 0; k < 8; ++k)
      {
        double weight = ((k >> axis) & 1U) != 0 ? corners.inside[axis] : -corners.inside[axis];
        for (std::size_t other = 0; other < 3; ++other)
        {
          if (other != axis)
          {
            weight *= ((k >> other) & 1U) != 0 ? corners.fraction[other] : 1.0 - corners.fraction[other];
          }
        }
        perIndex[axis] += weight * sums[k];
      }
    }
    Vector result{};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
      result[axis] =
        m_ToIndex[0][axis] * perIndex[0] + m_ToIndex[1][axis] * perIndex[1] + m_ToIndex[2][axis] * perIndex[2];
    }
    return result;
  }

private:
  const Grid &  m_Grid;
  Matrix        m_ToIndex;
  const float * m_Rows;
  std::int64_t  m_Channels;
};

/** The product of two rows; each lane adds up by itself, so that the compiler may use vectors. */
double
dot(const float * const a, const float * const b, std::int64_t count)
{
  constexpr std::int64_t   lanes = 8;
  std::array<float, lanes> sums{};
  std::int64_t             i = 0;
  for (; i + lanes <= count; i += lanes)
  {
    for (std::int64_t lane = 0; lane < lanes; ++lane)
    {
      sums[static_cast<std::size_t>(lane)] += a[i + lane] * b[i + lane];
    }
  }
  double result = 0.0;
  for (const float sum : sums)
  {
    result += sum;
  }
  for (; i < count; ++i)
  {
    result += a[i] * b[i];
  }
  return result;
}

double
dot(const float * const row, const float * const gradient, const std::int64_t * const channels, std::int64_t count)
{
  double result = 0.0;
  for (std::int64_t i = 0; i < count; ++i)
  {
    result += row[channels[i]] * gradient[i];
  }
  return result;
}

constexpr std::int64_t samplesPerTask = 128;

} // namespace

at::Tensor
sampleFeatures(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels)
{
  if (!map.rows.is_cpu())
  {
    return sampleByTorch(map, points, channels);
  }
  const std::int64_t         count = channels.defined() ? channels.numel() : map.rows.size(1);
  const at::Tensor           features = at::empty({ points.size(0), count }, map.rows.options());
  const MapReader            reader(map);
  const double * const       point = points.const_data_ptr<double>();
  const std::int64_t * const chosen = channels.defined() ? channels.const_data_ptr<std::int64_t>() : nullptr;
  float * const              to = features.data_ptr<float>();
  const std::int64_t         total = points.size(0);
  inParallel((total + samplesPerTask - 1) / samplesPerTask, [&](std::int64_t task) {
    for (std::int64_t s = task * samplesPerTask; s < std::min(total, (task + 1) * samplesPerTask); ++s)
    {
      const Corners corners = reader.at(point + 3 * s);
      const auto & [r, w] = std::tie(corners.rows, corners.weights);
      float * const row = to + s * count;
      for (std::int64_t i = 0; i < count; ++i)
      {
        const std::int64_t c = chosen ? chosen[i] : i;
        row[i] = w[0] * r[0][c] + w[1] * r[1][c] + w[2] * r[2][c] + w[3] * r[3][c] + w[4] * r[4][c] + w[5] * r[5][c] +
                 w[6] * r[6][c] + w[7] * r[7][c];
      }
    }
  });
  return features;
}

at::Tensor
pullBack(const FeatureMap & map, const at::Tensor & points, const at::Tensor & channels, const at::Tensor & gradient)
{
  if (!map.rows.is_cpu())
  {
    at::AutoGradMode gradients(true);
    const at::Tensor free = points.detach().requires_grad_(true);
    const at::Tensor features = sampleByTorch(map, free, channels);
    // Maps of one voxel are the same everywhere.
    return features.requires_grad() ? torch::autograd::grad({ features }, { free }, { gradient })[0]
                                    : at::zeros_like(points);
  }
  const std::int64_t         count = gradient.size(1);
  const at::Tensor           dense = gradient.contiguous();
  const at::Tensor           result = at::empty({ points.size(0), 3 }, points.options());
  const MapReader            reader(map);
  const double * const       point = points.const_data_ptr<double>();
  const std::int64_t * const chosen = channels.defined() ? channels.const_data_ptr<std::int64_t>() : nullptr;
  const float * const        from = dense.const_data_ptr<float>();
  double * const             to = result.data_ptr<double>();
  const std::int64_t         total = points.size(0);
  inParallel((total + samplesPerTask - 1) / samplesPerTask, [&](std::int64_t task) {
    for (std::int64_t s = task * samplesPerTask; s < std::min(total, (task + 1) * samplesPerTask); ++s)
    {
      const Corners         corners = reader.at(point + 3 * s);
      std::array<double, 8> sums{};
      for (std::size_t k = 0; k < 8; ++k)
      {
        sums[k] = chosen ? dot(corners.rows[k], from + s * count, chosen, count)
                         : dot(corners.rows[k], from + s * count, count);
      }
      const Vector perMillimetre = reader.gradient(corners, sums);
      std::copy(perMillimetre.begin(), perMillimetre.end(), to + 3 * s);
    }
  });
  return result;
}

} // namespace impact
