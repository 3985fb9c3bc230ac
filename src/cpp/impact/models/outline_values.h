#pragma once

#include "impact/runtime/torch_headers.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace impact
{

/** Thrown where the outline of a network cannot be told. */
struct NoOutline
{};

/** What the places along one dimension of a tensor see of the image: place j the image's places offset + stride * j,
 * and `reach` to each side. */
struct Along
{
  int    axis{ -1 }; // the dimension of the image; -1: none
  double stride{ 1.0 };
  double offset{ 0.0 };
  double reach{ 0.0 };
};

using Dimensions = std::vector<Along>;

/** What is known of the values of a graph whose tensors have sizes and no numbers, and the memory that they take. */
class OutlineValues
{
public:
  using Value = torch::jit::Value;
  using Node = torch::jit::Node;

  void keep(const Value * value, const at::Tensor & tensor, Dimensions dimensions);

  /** Of a constant, which sees nothing and is in memory all the time. */
  void keepConstant(const Value * value, const c10::IValue & constant);

  /** Of what is no tensor. */
  void keepOther(const Value * value, c10::IValue other);

  /** A value as another one, of an inner block. */
  void keepAs(const Value * value, const Value * inner);

  /** The value is wanted no more. */
  void drop(const Value * value);

  /** What a value is, tensors without their numbers. */
  c10::IValue of(const Value * value) const;

  const at::Tensor &
  tensor(const Value * value) const
  {
    return m_Tensors.at(value);
  }

  /** \return null for constants, and for what is no tensor */
  const Dimensions * dimensionsIfAny(const Value * value) const;
  const Dimensions & dimensions(const Value * value) const;

  /** Whether some input of a node has places of the image. */
  bool isOfImage(const Node & node) const;

  /** What a node changes in place sees what its new numbers do, if nothing else shares them. */
  void changeInPlace(const Node & node, const Dimensions & made);

  /** An operator's argument by its name; None where it has none of that name. */
  c10::IValue argument(const Node & node, const std::string & name) const;

  /** Numbers of a list, one for each dimension of space; of one number, that for all. */
  std::vector<std::int64_t>
  numbers(const Node & node, const std::string & name, std::size_t count, std::int64_t otherwise) const;

  /** So many bytes are wanted beside the tensors of now. */
  void wantBeside(std::int64_t bytes);

  /** Bytes at the peak. */
  std::int64_t
  mostBytes() const
  {
    return m_MostBytes;
  }

private:
  bool isShared(const Value * value) const;

  std::unordered_map<const Value *, at::Tensor>     m_Tensors;
  std::unordered_map<const Value *, Dimensions>     m_Dimensions; // of those that are no constants
  std::unordered_map<const Value *, c10::IValue>    m_Others;
  std::unordered_map<const c10::StorageImpl *, int> m_Holders;
  std::int64_t                                      m_Bytes{ 0 };
  std::int64_t                                      m_MostBytes{ 0 };
};

} // namespace impact
