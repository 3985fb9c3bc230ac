#include "impact/compare/sample_distances.h"

#include "impact/base/workers.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

/** Sums of products over the channels of a sample. */
template <typename T>
struct Products
{
  double fixed{ 0.0 };
  double moving{ 0.0 };
  double both{ 0.0 };

  Products(const T * f, const T * m, std::int64_t channels)
  {
    for (std::int64_t c = 0; c < channels; ++c)
    {
      const double x = f[c];
      const double y = m[c];
      fixed += x * x;
      moving += y * y;
      both += x * y;
    }
  }
};

double
signOf(double value)
{
  return static_cast<double>(value > 0.0) - static_cast<double>(value < 0.0);
}

/** The cosine of the angle between two rows, and its derivative: toFixed * f + toMoving * m. Rows of length zero have
 * no angle: 1 for two such, 0 for one. */
template <typename T>
struct Cosine
{
  double value{ 0.0 };
  double toFixed{ 0.0 };
  double toMoving{ 0.0 };

  Cosine(const T * f, const T * m, std::int64_t channels)
  {
    const Products<T> products(f, m, channels);
    const double      product = products.fixed * products.moving;
    if (product > 0.0)
    {
      toFixed = 1.0 / std::sqrt(product);
      value = products.both * toFixed;
      toMoving = -value / products.moving;
      return;
    }
    const auto isZero = [channels](const T * row) {
      return std::all_of(row, row + channels, [](T x) { return x == T(0); });
    };
    value = isZero(f) && isZero(m) ? 1.0 : std::isnan(product) ? product : 0.0;
  }
};

/** The distance of one sample; its derivative goes to set(channel, derivative). */
template <typename T, typename Set>
double
distanceOfSample(Distance kind, const T * f, const T * m, std::int64_t channels, const Set & set)
{
  const auto count = static_cast<double>(channels);
  double     sum = 0.0;
  switch (kind)
  {
    case Distance::L1:
      for (std::int64_t c = 0; c < channels; ++c)
      {
        const double d = static_cast<double>(m[c]) - static_cast<double>(f[c]);
        sum += std::abs(d);
        set(c, signOf(d) / count);
      }
      return sum / count;
    case Distance::L2:
      for (std::int64_t c = 0; c < channels; ++c)
      {
        const double d = static_cast<double>(m[c]) - static_cast<double>(f[c]);
        sum += d * d;
        set(c, 2.0 * d / count);
      }
      return sum / count;
    case Distance::Cosine:
    {
      const Cosine<T> cosine(f, m, channels);
      for (std::int64_t c = 0; c < channels; ++c)
      {
        set(c, -(cosine.toFixed * f[c] + cosine.toMoving * m[c]));
      }
      return 1.0 - cosine.value;
    }
    case Distance::L1Cosine:
    {
      constexpr double decay = 0.1;
      const Cosine<T>  cosine(f, m, channels);
      for (std::int64_t c = 0; c < channels; ++c)
      {
        sum += std::exp(-decay * std::abs(static_cast<double>(f[c]) - static_cast<double>(m[c])));
      }
      const double likeness = sum / count;
      for (std::int64_t c = 0; c < channels; ++c)
      {
        const double d = static_cast<double>(m[c]) - static_cast<double>(f[c]);
        const double ofLikeness = -decay * signOf(d) * std::exp(-decay * std::abs(d)) / count;
        const double ofCosine = cosine.toFixed * f[c] + cosine.toMoving * m[c];
        set(c, -(ofCosine * likeness + cosine.value * ofLikeness));
      }
      return 1.0 - cosine.value * likeness;
    }
    case Distance::Dice:
    {
      double both = 0.0;
      for (std::int64_t c = 0; c < channels; ++c)
      {
        sum += static_cast<double>(f[c]) + static_cast<double>(m[c]);
        both += static_cast<double>(f[c]) * static_cast<double>(m[c]);
      }
      const bool   empty = sum == 0.0; // two empty ones agree
      const double overlap = empty ? 1.0 : 2.0 * both / sum;
      for (std::int64_t c = 0; c < channels; ++c)
      {
        set(c, empty ? 0.0 : (overlap - 2.0 * static_cast<double>(f[c])) / sum);
      }
      return 1.0 - overlap;
    }
    case Distance::DotProduct:
      for (std::int64_t c = 0; c < channels; ++c)
      {
        sum += static_cast<double>(f[c]) * static_cast<double>(m[c]);
        set(c, -static_cast<double>(f[c]));
      }
      return -sum;
    case Distance::NCC:
      break;
  }
  TORCH_CHECK(false, "a distance of all samples together");
}

template <typename T>
double
meanOf(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, at::Tensor * gradient)
{
  constexpr std::int64_t perTask = 256;
  const std::int64_t     count = fixed.size(0);
  const std::int64_t     channels = fixed.size(1);
  const double           share = 1.0 / static_cast<double>(count);
  const T * const        f = fixed.const_data_ptr<T>();
  const T * const        m = moving.const_data_ptr<T>();
  T * const              g = gradient ? gradient->data_ptr<T>() : nullptr;
  std::vector<double>    sums(static_cast<std::size_t>((count + perTask - 1) / perTask), 0.0);
  inParallel(static_cast<std::int64_t>(sums.size()), [&](std::int64_t task) {
    for (std::int64_t n = task * perTask; n < std::min(count, (task + 1) * perTask); ++n)
    {
      const std::int64_t at = n * channels;
      double &           sum = sums[static_cast<std::size_t>(task)];
      if (g)
      {
        sum +=
          distanceOfSample(kind, f + at, m + at, channels, [to = g + at, share](std::int64_t c, double derivative) {
            to[c] = static_cast<T>(derivative * share);
          });
      }
      else
      {
        sum += distanceOfSample(kind, f + at, m + at, channels, [](std::int64_t, double) {});
      }
    }
  });
  double total = 0.0;
  for (const double sum : sums)
  {
    total += sum;
  }
  return total * share;
}

} // namespace

bool
isBySample(Distance kind)
{
  return kind != Distance::NCC;
}

double
sampleDistances(Distance kind, const at::Tensor & fixed, const at::Tensor & moving, at::Tensor * gradient)
{
  const at::Tensor f = fixed.contiguous();
  const at::Tensor m = moving.contiguous();
  if (gradient)
  {
    *gradient = at::empty_like(m);
  }
  return f.scalar_type() == at::kDouble ? meanOf<double>(kind, f, m, gradient) : meanOf<float>(kind, f, m, gradient);
}

} // namespace impact
