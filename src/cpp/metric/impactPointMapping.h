#ifndef impactPointMapping_h
#define impactPointMapping_h

#include "impact/api/known_transform.h"
#include "impact/kernels/bending_energy.h"

#include <cstddef>
#include <optional>
#include <string>

namespace impact
{

/** What a transform does to points, many at a time, and the way back from gradients to its parameters: first they are
 * added up in sums, which are few, then those become the derivative. Thread-safe but for Update(). */
class PointMapping
{
public:
  virtual ~PointMapping() = default;

  /** To be called where the parameters have changed. */
  virtual void Update() = 0;

  /** Whether GetKnown() describes all of the transform. */
  virtual bool IsKnown() const = 0;

  /** The transform as plain numbers, until the next Update(). */
  virtual KnownTransform GetKnown() const = 0;

  /** Those of the transform whose parameters are searched for, where that is a cubic B-spline. */
  virtual std::optional<ControlPoints> GetControlPoints() const = 0;

  /** Whether that transform is linear in the point. */
  virtual bool IsLinear() const = 0;

  /** Its class, for messages. */
  virtual std::string GetNameOfTransform() const = 0;

  /** \param points 3 numbers each, as the result; they may be the same */
  virtual void Map(const double * points, std::size_t count, double * result) const = 0;

  /** How many numbers the gradients of points are added up in. */
  virtual std::size_t NumberOfSums() const = 0;

  /** How many of the sums a point adds to. */
  virtual std::size_t SumsPerPoint() const = 0;

  /** Adds the gradients with respect to the points that these points are mapped to. */
  virtual void
  AddGradients(const double * points, const double * gradients, std::size_t count, double * sums) const = 0;

  /** The derivative with respect to the parameters that those sums amount to. */
  virtual void FromSums(const double * sums, double * derivative, std::size_t numberOfParameters) const = 0;
};

} // namespace impact

#endif
