#pragma once

#include "impact/api/known_transform.h"
#include "impact/runtime/torch_headers.h"

namespace impact
{

/** A known transform on a device: maps points, and adds gradients of points up to what its parameters see.
 *
 * By torch's operations, which start work on the device and do not wait for it. Points and gradients are N x 3, mm (per
 * mm), double. */
class TorchTransform
{
public:
  /** \param transform its coefficients must live until the device has been waited for */
  TorchTransform(const KnownTransform & transform, at::Device device);

  at::Tensor map(const at::Tensor & points) const;

  /** Room for what addGradients() adds up, zeros. */
  at::Tensor makeSums() const;

  /** Adds the gradients with respect to the points that these points are mapped to. On a GPU the order of additions,
   * and with it the last digits, differs from run to run. */
  void addGradients(const at::Tensor & points, const at::Tensor & gradients, at::Tensor & sums) const;

  /** The sums as PointMapper::FromSums wants them. */
  at::Tensor laidOut(const at::Tensor & sums) const;

private:
  /** The control points around each point, and their weights: zero outside the grid's inner region. */
  struct Neighbours
  {
    at::Tensor numbers; // N x 4^dimension, long
    at::Tensor weights; // N x 4^dimension, double
  };

  Neighbours neighboursOf(const at::Tensor & points) const;

  /** x -> matrix x + offset. */
  struct Linear
  {
    at::Tensor matrix; // 3 x 3, transposed
    at::Tensor offset; // 3

    at::Tensor
    operator()(const at::Tensor & points) const
    {
      return at::addmm(offset, points, matrix);
    }
  };

  bool         m_IsBSpline;
  std::int64_t m_Dimension;
  std::int64_t m_Count{ 0 }; // of control points
  Linear       m_First;      // what comes before the transform
  Linear       m_Whole;      // linear transforms: all of it; B-splines: the way to their index
  at::Tensor   m_Coefficients;
  at::Tensor   m_Polynomials; // of the weights: power x control point
  at::Tensor   m_LastPlace;   // places along each axis below which points lie inside
  at::Tensor   m_Strides;     // of the control points along each axis, double
  at::Tensor   m_Around;      // the numbers of the control points around a place, less the first one's
};

} // namespace impact
