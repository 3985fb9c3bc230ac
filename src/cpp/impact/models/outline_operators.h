#pragma once

#include "impact/models/outline_values.h"

#include <cstdint>
#include <string>
#include <vector>

namespace impact
{

/** An operator's name, without the mark of one that changes its first argument. */
std::string nameOf(const torch::jit::Node & node);

/** Operators that make each number of those at the same place. */
bool isElementwise(const std::string & name);

/** Operators that also look at the other channels of a place, or at means: of its first argument. */
bool keepsPlaces(const std::string & name);

bool isConvolution(const std::string & name);
bool isPool(const std::string & name);

/** The windows of a convolution or a pooling, along each dimension of space in the order of a tensor's. */
struct Windows
{
  bool                      isTransposed{ false };
  std::int64_t              outputs{ 0 }; // channels
  std::vector<std::int64_t> size;
  std::vector<std::int64_t> stride;
  std::vector<std::int64_t> padding;
  std::vector<std::int64_t> dilation;
  std::vector<std::int64_t> more; // places, of a transposed one

  std::int64_t
  extent(std::size_t axis) const
  {
    return dilation[axis] * (size[axis] - 1) + 1;
  }

  /** The places that it makes of so many. */
  std::int64_t
  after(std::size_t axis, std::int64_t places) const
  {
    const std::int64_t room = places + 2 * padding[axis] - extent(axis);
    return room < 0 ? 0 : room / stride[axis] + 1;
  }

  /** The same of a transposed one. */
  std::int64_t
  before(std::size_t axis, std::int64_t places) const
  {
    return (places - 1) * stride[axis] - 2 * padding[axis] + extent(axis) + more[axis];
  }
};

Windows windowsOfConvolution(const torch::jit::Node & node, const std::string & name, const OutlineValues & values);
Windows windowsOfPool(const torch::jit::Node & node, std::size_t axes, const OutlineValues & values);

/** A tensor as an operator makes it, without its numbers: not all operators can do that themselves. Undefined where
 * they can. */
at::Tensor resultOf(const torch::jit::Node & node, const std::string & name, const OutlineValues & values);

} // namespace impact
