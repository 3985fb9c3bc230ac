#include "impact/tensors/torch_transform.h"

namespace impact
{
namespace
{

/** a after b, each as nine numbers of a matrix, row by row, and three of an offset. */
void
compose(const double * a, const double * aOffset, const double * b, const double * bOffset, std::vector<double> & to)
{
  for (int i = 0; i < 3; ++i)
  {
    for (int j = 0; j < 3; ++j)
    {
      to.push_back(a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j]);
    }
  }
  for (int i = 0; i < 3; ++i)
  {
    to.push_back(a[3 * i] * bOffset[0] + a[3 * i + 1] * bOffset[1] + a[3 * i + 2] * bOffset[2] + aOffset[i]);
  }
}

} // namespace

TorchTransform::TorchTransform(const KnownTransform & transform, at::Device device)
  : m_IsBSpline(transform.isBSpline)
  , m_Dimension(transform.isBSpline && transform.grid.size[2] == 1 ? 2 : 3)
{
  const BSplineGrid & grid = transform.grid;
  std::vector<double> numbers(grid.matrix, grid.matrix + 9);
  numbers.insert(numbers.end(), grid.offset, grid.offset + 3);
  if (m_IsBSpline)
  {
    double origin[3]; // of the way to the index
    for (int i = 0; i < 3; ++i)
    {
      origin[i] = -(grid.toIndex[3 * i] * grid.origin[0] + grid.toIndex[3 * i + 1] * grid.origin[1] +
                    grid.toIndex[3 * i + 2] * grid.origin[2]);
    }
    compose(grid.toIndex, origin, grid.matrix, grid.offset, numbers);
    double stride = 1.0;
    for (std::int64_t axis = 0; axis < m_Dimension; ++axis)
    {
      TORCH_CHECK(grid.size[axis] >= 4, "a grid of a cubic B-spline has at least four control points along each axis");
      numbers.push_back(static_cast<double>(grid.size[axis] - 2));
    }
    for (std::int64_t axis = 0; axis < m_Dimension; ++axis)
    {
      numbers.push_back(stride);
      stride *= static_cast<double>(grid.size[axis]);
    }
    // Of t^0, t^1, ...: the weights of the four control points around a place t between the middle ones.
    numbers.insert(numbers.end(),
                   { 1.0 / 6.0,
                     2.0 / 3.0,
                     1.0 / 6.0,
                     0.0,
                     -0.5,
                     0.0,
                     0.5,
                     0.0,
                     0.5,
                     -1.0,
                     0.5,
                     0.0,
                     -1.0 / 6.0,
                     0.5,
                     -0.5,
                     1.0 / 6.0 });
  }
  else
  {
    compose(transform.matrix, transform.offset, grid.matrix, grid.offset, numbers);
  }

  // From pageable memory the call returns when the numbers are on their way: no waiting, and no need to keep them.
  constexpr bool   withoutWaiting = true;
  const at::Tensor all = at::tensor(numbers, at::kDouble).to(device, at::kDouble, withoutWaiting);
  std::int64_t     begin = 0;
  const auto       next = [&](std::int64_t count) {
    begin += count;
    return all.narrow(0, begin - count, count);
  };
  m_First.matrix = next(9).view({ 3, 3 }).t();
  m_First.offset = next(3);
  m_Whole.matrix = next(9).view({ 3, 3 }).t();
  m_Whole.offset = next(3);
  if (!m_IsBSpline)
  {
    return;
  }
  m_LastPlace = next(m_Dimension);
  m_Strides = next(m_Dimension);
  m_Polynomials = next(16).view({ 4, 4 });
  m_Count = grid.size[0] * grid.size[1] * grid.size[2];
  m_Coefficients = at::from_blob(const_cast<double *>(grid.coefficients), { m_Count, 4 }, at::kDouble)
                     .to(device, at::kDouble, withoutWaiting);
  const at::Tensor four = at::arange(4, at::dtype(at::kLong).device(device));
  m_Around = four;
  std::int64_t stride = grid.size[0];
  for (std::int64_t axis = 1; axis < m_Dimension; ++axis)
  {
    m_Around = (stride * four.unsqueeze(1) + m_Around.unsqueeze(0)).flatten();
    stride *= grid.size[axis];
  }
}

TorchTransform::Neighbours
TorchTransform::neighboursOf(const at::Tensor & points) const
{
  const at::Tensor index = m_Whole(points).narrow(1, 0, m_Dimension);
  const at::Tensor inside = at::logical_and(index >= 1.0, index < m_LastPlace).all(1, true);
  const at::Tensor place = at::where(inside, index, 1.0);
  const at::Tensor below = place.floor();
  const at::Tensor t = (place - below).unsqueeze(2);
  const at::Tensor p = m_Polynomials;
  const at::Tensor ofAxes = p[0] + t * (p[1] + t * (p[2] + t * p[3])); // N x dimension x 4
  const at::Tensor first = ((below - 1.0) * m_Strides).sum(1, true).to(at::kLong);

  at::Tensor weights = ofAxes.select(1, 0) * inside;
  for (std::int64_t axis = 1; axis < m_Dimension; ++axis)
  {
    weights = (ofAxes.select(1, axis).unsqueeze(2) * weights.unsqueeze(1)).flatten(1);
  }
  return { first + m_Around, weights };
}

at::Tensor
TorchTransform::map(const at::Tensor & points) const
{
  if (!m_IsBSpline)
  {
    return m_Whole(points);
  }
  const auto [numbers, weights] = neighboursOf(points);
  const at::Tensor around =
    m_Coefficients.index_select(0, numbers.view({ -1 })).view({ points.size(0), weights.size(1), 4 });
  return m_First(points) + (weights.unsqueeze(2) * around).sum(1).narrow(1, 0, 3);
}

at::Tensor
TorchTransform::makeSums() const
{
  return at::zeros({ m_IsBSpline ? m_Count : 4, 3 }, m_First.offset.options());
}

void
TorchTransform::addGradients(const at::Tensor & points, const at::Tensor & gradients, at::Tensor & sums) const
{
  if (m_IsBSpline)
  {
    const auto [numbers, weights] = neighboursOf(points);
    const at::Tensor products = weights.unsqueeze(2) * gradients.unsqueeze(1);
    sums.index_add_(0, numbers.view({ -1 }), products.view({ -1, 3 }));
    return;
  }
  // The sum of the gradients, then of the products with each coordinate: all that a linear transform's parameters see.
  const at::Tensor between = m_First(points);
  sums.add_(at::cat({ gradients.sum(0, true), between.t().matmul(gradients) }));
}

at::Tensor
TorchTransform::laidOut(const at::Tensor & sums) const
{
  return m_IsBSpline ? at::constant_pad_nd(sums, { 0, 1 }).flatten() : sums.flatten();
}

} // namespace impact
