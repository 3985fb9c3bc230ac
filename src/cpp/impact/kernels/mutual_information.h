#pragma once

#include "impact/base/workers.h"

#include <cstddef>
#include <vector>

namespace impact
{

/** The least and the most intensity of an image. */
struct IntensityRange
{
  double least;
  double most;
};

/** The mutual information of two images' intensities at samples, in nats:
 *
 *   I = sum over f, m of p(f, m) log(p(f, m) / (p(f) p(m))),
 *
 * of a joint histogram with Parzen windows: a box for the fixed intensity and a cubic B-spline for the moving one, so
 * that it has a derivative (Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE
 * Trans. Med. Imaging 22, 2003, eq. 6 to 15; Thevenaz and Unser, Optimization of mutual information for multiresolution
 * image registration, IEEE Trans. Image Process. 9, 2000). Ranges and bins are those of elastix's
 * AdvancedMattesMutualInformation with its defaults: 32 bins a side, over the image's range and a hundredth of it
 * beyond either end, where what lies farther out counts as lying there.
 *
 * To be used by one thread at a time, whose workers may help: the result is the same to the bit for any number. */
class MutualInformation
{
public:
  static constexpr int numberOfBins = 32;

  MutualInformation(const IntensityRange & fixed, const IntensityRange & moving);

  /** \param fixed      intensities of the fixed image at the samples
   * \param moving     those of the moving image
   * \param derivative null, or receives that with respect to each moving intensity */
  double evaluate(const float * fixed, const float * moving, std::size_t count, double * derivative, Workers & workers);

private:
  /** From an intensity to its place among the bins, within bounds. */
  struct Scale
  {
    double perIntensity;
    double offset;
    double least;
    double most;

    double place(float intensity) const;
  };

  static Scale scaleOf(const IntensityRange & range, int padding);

  void   fill(const float * fixed, const float * moving, std::size_t count, Workers & workers);
  double fromHistogram();

  Scale                            m_Fixed;
  Scale                            m_Moving;
  std::vector<std::vector<double>> m_Histograms; // of some samples each; the first: of all. Moving bins fastest
  std::vector<double>              m_Logarithms; // of p(f, m) / p(m)
};

} // namespace impact
