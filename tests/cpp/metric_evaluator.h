#pragma once

#include "python_headers.h"

#include <memory>
#include <optional>

namespace impact::bindings
{

/** What a metric is evaluated on, beside the images. */
struct EvaluatorOptions
{
  ParameterMap         parameters;
  int                  level{ 0 };
  std::string          transform;
  std::vector<double>  initialParameters; // of an affine transform applied first; empty: none
  double               controlPointSpacing{ 30.0 };
  unsigned int         sampleSpacing{ 3 };
  unsigned int         interpolationOrder{ 1 };
  unsigned int         threads{ 1 };
  std::optional<Image> movingMask;
  bool                 asOnGpu{ false };
  std::vector<double>  derivativeScales; // of the moving image; empty: none
};

/** The metric with elastix around it taken away: a value and a derivative for given transform parameters. */
class MetricEvaluator
{
public:
  virtual ~MetricEvaluator() = default;

  virtual bool evaluatesOnDevice() const = 0;

  /** What the user would have been told. */
  virtual std::vector<std::string> messages() const = 0;

  virtual std::vector<double> identityParameters() const = 0;
  virtual double              value(const std::vector<double> & parameters) = 0;
  virtual double      valueAndDerivative(const std::vector<double> & parameters, std::vector<double> & derivative) = 0;
  virtual std::size_t numberOfValidSamples() const = 0;
  virtual void        requestMovingFeatures() = 0;
  virtual std::string describeFeatures() const = 0;
};

std::unique_ptr<MetricEvaluator>
makeMetricEvaluator(const Image & fixed, const Image & moving, const EvaluatorOptions & options);

} // namespace impact::bindings
