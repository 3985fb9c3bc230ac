#include "impact/kernels/mutual_information.h"

#include "impact/kernels/spline_polynomials.h"

#include <algorithm>
#include <cmath>

namespace impact
{
namespace
{

constexpr int  bins = MutualInformation::numberOfBins;
constexpr auto numberOfPairs = static_cast<std::size_t>(bins) * bins;

/** The four bins of the moving image that a place among them reaches. */
struct Window
{
  std::size_t first;
  double      fraction;

  explicit Window(double place)
  {
    const double below = std::floor(place);
    first = static_cast<std::size_t>(below) - 1;
    fraction = place - below;
  }

  /** How much of an intensity falls into each, or the derivative of that. */
  double
  weight(int bin) const
  {
    const auto & p = splinePolynomials;
    return p[0][bin] + fraction * (p[1][bin] + fraction * (p[2][bin] + fraction * p[3][bin]));
  }

  double
  slope(int bin) const
  {
    const auto & p = splinePolynomials;
    return p[1][bin] + fraction * (2.0 * p[2][bin] + fraction * 3.0 * p[3][bin]);
  }
};

std::size_t
rowOf(double place)
{
  return static_cast<std::size_t>(bins) * static_cast<std::size_t>(place + 0.5);
}

} // namespace

MutualInformation::Scale
MutualInformation::scaleOf(const IntensityRange & range, const int padding)
{
  constexpr double beyond = 0.01;  // of the range
  constexpr double within = 0.001; // of a bin: the ends of the range are not those of a bin
  const double     width = (range.most - range.least) * (1.0 + 2.0 * beyond);
  const double     first = range.least - beyond * (range.most - range.least);
  const double     count = bins - 2 * padding - 1;
  const double     bin = width > 0.0 ? width * (1.0 + 2.0 * within / count) / count : 1.0;
  return { 1.0 / bin, padding + within - first / bin, padding + within, padding + count - within };
}

double
MutualInformation::Scale::place(const float intensity) const
{
  // What is no number is the least.
  return std::min(most, std::max(least, perIntensity * static_cast<double>(intensity) + offset));
}

MutualInformation::MutualInformation(const IntensityRange & fixed, const IntensityRange & moving)
  : m_Fixed(scaleOf(fixed, 0))
  , m_Moving(scaleOf(moving, 1))
{}

void
MutualInformation::fill(const float * const fixed,
                        const float * const moving,
                        const std::size_t   count,
                        Workers &           workers)
{
  // Each chunk has a histogram of its own, added up in order: how many depends on the samples alone.
  const std::size_t numberOfChunks = std::clamp<std::size_t>(count / numberOfPairs, 1, 16);
  m_Histograms.resize(numberOfChunks);
  workers.run(static_cast<std::int64_t>(numberOfChunks), [&](const std::int64_t chunk) {
    std::vector<double> & histogram = m_Histograms[static_cast<std::size_t>(chunk)];
    histogram.assign(numberOfPairs, 0.0);
    const std::size_t end = count * (static_cast<std::size_t>(chunk) + 1) / numberOfChunks;
    for (std::size_t s = count * static_cast<std::size_t>(chunk) / numberOfChunks; s < end; ++s)
    {
      const Window   window(m_Moving.place(moving[s]));
      double * const row = histogram.data() + rowOf(m_Fixed.place(fixed[s])) + window.first;
      for (int bin = 0; bin < 4; ++bin)
      {
        row[bin] += window.weight(bin);
      }
    }
  });
  std::vector<double> & all = m_Histograms.front();
  for (std::size_t chunk = 1; chunk < numberOfChunks; ++chunk)
  {
    for (std::size_t i = 0; i < numberOfPairs; ++i)
    {
      all[i] += m_Histograms[chunk][i];
    }
  }
  for (double & value : all)
  {
    value /= static_cast<double>(count);
  }
}

double
MutualInformation::fromHistogram()
{
  const std::vector<double> & joint = m_Histograms.front();
  std::vector<double>         ofFixed(bins, 0.0);
  std::vector<double>         ofMoving(bins, 0.0);
  for (std::size_t i = 0; i < numberOfPairs; ++i)
  {
    ofFixed[i / bins] += joint[i];
    ofMoving[i % bins] += joint[i];
  }
  m_Logarithms.assign(numberOfPairs, 0.0);
  double sum = 0.0;
  for (std::size_t i = 0; i < numberOfPairs; ++i)
  {
    if (joint[i] > 0.0)
    {
      m_Logarithms[i] = std::log(joint[i] / ofMoving[i % bins]);
      sum += joint[i] * (m_Logarithms[i] - std::log(ofFixed[i / bins]));
    }
  }
  return sum;
}

double
MutualInformation::evaluate(const float * const fixed,
                            const float * const moving,
                            const std::size_t   count,
                            double * const      derivative,
                            Workers &           workers)
{
  if (count == 0)
  {
    return 0.0;
  }
  this->fill(fixed, moving, count, workers);
  const double information = this->fromHistogram();
  if (derivative)
  {
    // Windows add up to 1 wherever they lie, so that what an intensity changes in p(f) is 0, and so is its sum over m.
    const double perSample = m_Moving.perIntensity / static_cast<double>(count);
    for (std::size_t s = 0; s < count; ++s)
    {
      const double place = m_Moving.place(moving[s]);
      derivative[s] = 0.0;
      if (place > m_Moving.least && place < m_Moving.most)
      {
        const Window         window(place);
        const double * const row = m_Logarithms.data() + rowOf(m_Fixed.place(fixed[s])) + window.first;
        for (int bin = 0; bin < 4; ++bin)
        {
          derivative[s] += perSample * window.slope(bin) * row[bin];
        }
      }
    }
  }
  return information;
}

} // namespace impact
