#include "impact/models/seen_places.h"

#include "impact/models/outline_operators.h"

#include <algorithm>
#include <set>

namespace impact
{
namespace
{

using torch::jit::Node;
using torch::jit::Value;

/** What two values together see. */
Along
joined(const Along & a, const Along & b)
{
  if (a.axis < 0 || b.axis < 0)
  {
    return a.axis < 0 ? b : a;
  }
  if (a.axis != b.axis || a.stride != b.stride)
  {
    throw NoOutline();
  }
  const double first = std::min(a.offset - a.reach, b.offset - b.reach);
  const double last = std::max(a.offset + a.reach, b.offset + b.reach);
  return { a.axis, a.stride, 0.5 * (first + last), 0.5 * (last - first) };
}

/** Place j as what sees the places offset + stride * j and `reach` to each side of another. */
Along
through(const Along & of, double stride, double offset, double reach)
{
  return of.axis < 0
           ? of
           : Along{
               of.axis, of.stride * stride, of.offset + of.stride * offset, of.reach + std::abs(of.stride) * reach
             };
}

std::size_t
placeOf(std::int64_t dim, std::size_t rank)
{
  return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim);
}

Dimensions
broadcast(const Node & node, const at::Tensor & result, const OutlineValues & values)
{
  const auto rank = static_cast<std::size_t>(result.dim());
  Dimensions made(rank);
  for (const Value * const input : node.inputs())
  {
    const Dimensions * const found = values.dimensionsIfAny(input);
    if (!found)
    {
      continue; // of no image
    }
    const at::Tensor & tensor = values.tensor(input);
    const std::size_t  missing = rank - found->size();
    for (std::size_t d = 0; d < found->size(); ++d)
    {
      const auto of = static_cast<std::int64_t>(d);
      if (tensor.size(of) == result.size(static_cast<std::int64_t>(missing + d)))
      {
        made[missing + d] = joined(made[missing + d], (*found)[d]);
      }
    }
  }
  return made;
}

Dimensions
concatenated(const Node & node, std::size_t rank, const OutlineValues & values)
{
  const auto dim = placeOf(values.argument(node, "dim").toInt(), rank);
  Dimensions made(rank);
  for (const Value * const part : node.inputs()[0]->node()->inputs())
  {
    const bool       isConstant = part->node()->kind() == c10::prim::Constant;
    const Dimensions of = isConstant ? Dimensions(rank) : values.dimensions(part);
    for (std::size_t d = 0; d < rank; ++d)
    {
      made[d] = joined(made[d], of.at(d));
    }
  }
  if (made.at(dim).axis >= 0)
  {
    throw NoOutline(); // images side by side
  }
  return made;
}

void
look(const Windows & windows, Dimensions & made)
{
  if (made.size() != windows.size.size() + 2)
  {
    throw NoOutline();
  }
  for (std::size_t axis = 0; axis < windows.size.size(); ++axis)
  {
    const double reach = 0.5 * static_cast<double>(windows.extent(axis) - 1);
    const double first = reach - static_cast<double>(windows.padding[axis]); // the middle of what place 0 sees
    const auto   stride = static_cast<double>(windows.stride[axis]);
    Along &      along = made[axis + 2];
    along = windows.isTransposed ? through(along, 1.0 / stride, -first / stride, reach / stride)
                                 : through(along, stride, first, reach);
  }
}

void
resize(const Node &          node,
       const std::string &   name,
       const at::Tensor &    result,
       const OutlineValues & values,
       Dimensions &          made)
{
  const c10::IValue corners = values.argument(node, "align_corners");
  if (corners.isBool() && corners.toBool())
  {
    throw NoOutline();
  }
  const at::Tensor & of = values.tensor(node.inputs()[0]);
  const double       reach = name.find("nearest") != std::string::npos ? 0.5
                             : name.find("cubic") != std::string::npos ? 2.0
                                                                       : 1.0;
  for (std::int64_t d = 2; d < of.dim(); ++d)
  {
    const double ratio = static_cast<double>(of.size(d)) / static_cast<double>(result.size(d));
    Along &      along = made[static_cast<std::size_t>(d)];
    along = through(along, ratio, 0.5 * ratio - 0.5, of.size(d) == result.size(d) ? 0.0 : reach);
  }
}

/** What is taken together along some dimensions. */
void
reduceAlong(const Node & node, const at::Tensor & result, const OutlineValues & values, Dimensions & made)
{
  c10::IValue which = values.argument(node, "dim");
  which = which.isNone() && node.schema().argumentIndexWithName("dims") ? values.argument(node, "dims") : which;
  std::set<std::size_t> dims;
  if (which.isInt())
  {
    dims.insert(placeOf(which.toInt(), made.size()));
  }
  else if (which.isIntList())
  {
    for (const std::int64_t dim : which.toIntVector())
    {
      dims.insert(placeOf(dim, made.size()));
    }
  }
  for (std::size_t d = 0; d < made.size(); ++d)
  {
    made[d] = which.isNone() || dims.count(d) > 0 ? Along() : made[d];
  }
  if (static_cast<std::size_t>(result.dim()) != made.size())
  {
    for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim)
    {
      made.erase(made.begin() + static_cast<std::ptrdiff_t>(*dim));
    }
  }
  if (static_cast<std::size_t>(result.dim()) != made.size())
  {
    made.assign(static_cast<std::size_t>(result.dim()), Along());
  }
}

/** What leaves numbers as they are and puts them elsewhere. */
void
rearrange(const Node &          node,
          const std::string &   name,
          const at::Tensor &    result,
          const OutlineValues & values,
          Dimensions &          made)
{
  const at::Tensor & of = values.tensor(node.inputs()[0]);
  const std::size_t  rank = made.size();
  const auto         dimOf = [&](const char * argumentName) {
    return placeOf(values.argument(node, argumentName).toInt(), rank);
  };
  if (name == "permute")
  {
    const Dimensions before = made;
    const auto       order = values.argument(node, "dims").toIntVector();
    for (std::size_t d = 0; d < order.size(); ++d)
    {
      made.at(d) = before.at(placeOf(order[d], rank));
    }
  }
  else if (name == "transpose")
  {
    std::swap(made.at(dimOf("dim0")), made.at(dimOf("dim1")));
  }
  else if (name == "flip")
  {
    for (const std::int64_t dim : values.argument(node, "dims").toIntVector())
    {
      Along & along = made.at(placeOf(dim, rank));
      along = through(along, -1.0, static_cast<double>(of.size(dim) - 1), 0.0);
    }
  }
  else if (name == "slice" || name == "narrow")
  {
    const auto         dim = dimOf("dim");
    const c10::IValue  start = values.argument(node, "start");
    const std::int64_t size = of.size(static_cast<std::int64_t>(dim));
    std::int64_t       first = start.isInt() ? start.toInt() : 0;
    first = std::clamp<std::int64_t>(first < 0 ? first + size : first, 0, size);
    const c10::IValue step = name == "slice" ? values.argument(node, "step") : c10::IValue(1);
    made.at(dim) = through(made.at(dim), static_cast<double>(step.toInt()), static_cast<double>(first), 0.0);
  }
  else if (name == "select")
  {
    made.erase(made.begin() + static_cast<std::ptrdiff_t>(dimOf("dim")));
  }
  else if (name == "unsqueeze")
  {
    made.insert(made.begin() + static_cast<std::ptrdiff_t>(placeOf(values.argument(node, "dim").toInt(), rank + 1)),
                Along());
  }
  else if (name == "one_hot")
  {
    made.emplace_back();
  }
  else if (name == "argmax" || name == "argmin" || name == "squeeze" || name == "mean" || name == "sum" ||
           name == "std" || name == "var" || name == "amax" || name == "amin")
  {
    reduceAlong(node, result, values, made);
  }
  else
  {
    throw NoOutline();
  }
}

} // namespace

Dimensions
dimensionsOf(const Node & node, const at::Tensor & result, const OutlineValues & values)
{
  const std::string name = nameOf(node);
  const auto        rank = static_cast<std::size_t>(result.dim());
  if (isElementwise(name))
  {
    return broadcast(node, result, values);
  }
  if (name == "cat")
  {
    return concatenated(node, rank, values);
  }
  Dimensions made = values.dimensions(node.inputs()[0]);
  if (keepsPlaces(name))
  {
    return made;
  }
  if (isConvolution(name))
  {
    look(windowsOfConvolution(node, name, values), made);
  }
  else if (isPool(name))
  {
    look(windowsOfPool(node, made.size() - 2, values), made);
  }
  else if (name.rfind("upsample_", 0) == 0)
  {
    resize(node, name, result, values, made);
  }
  else if (name == "pad" || name == "constant_pad_nd" || name.rfind("reflection_pad", 0) == 0 ||
           name.rfind("replication_pad", 0) == 0)
  {
    const auto padding =
      values.argument(node, name == "pad" || name == "constant_pad_nd" ? "pad" : "padding").toIntVector();
    for (std::size_t pair = 0; pair < padding.size() / 2; ++pair)
    {
      Along & along = made.at(made.size() - 1 - pair);
      along = through(along, 1.0, -static_cast<double>(padding[2 * pair]), 0.0);
    }
  }
  else
  {
    rearrange(node, name, result, values, made);
  }
  if (made.size() != rank)
  {
    throw NoOutline();
  }
  return made;
}

} // namespace impact
