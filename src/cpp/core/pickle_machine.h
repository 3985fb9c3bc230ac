#pragma once

#include <torch/csrc/jit/serialization/pickler_helper.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace impact
{

/** What is damaged in an archive: a part of a sentence. */
struct Damage : std::runtime_error
{
  using std::runtime_error::runtime_error;
};

/** Weights, of which tensors are made. */
struct Storage
{
  std::string  record;      // in the archive
  std::int64_t length{ 0 }; // elements
};

struct PickleValue;
using PickleTuple = std::vector<PickleValue>;

/** What an instruction leaves on the stack: something of no concern to weights, such as a list or an object, or a whole
 * number, a text, weights, or a tuple. */
struct PickleValue
{
  std::variant<std::monostate,
               std::int64_t,
               std::shared_ptr<const std::string>,
               std::shared_ptr<const Storage>,
               std::shared_ptr<const PickleTuple>>
              content;
  std::size_t depth{ 0 }; // of what is nested in it
};

/** The machine that a pickle is a program of, with those instructions that torch.jit.load knows. Where torch would go
 * wrong on a program, reading what is not on its stack or not in the file, it is damage here. */
class PickleMachine
{
public:
  /** \param name of the pickle in the archive, without its ending */
  PickleMachine(std::string_view program, std::string name)
    : m_Name(std::move(name))
    , m_Size(program.size())
    , m_Rest(program)
  {}
  virtual ~PickleMachine() = default;
  PickleMachine(const PickleMachine &) = delete;
  PickleMachine & operator=(const PickleMachine &) = delete;

  /** \throw Damage */
  void run();

protected:
  /** What a name stands for. */
  virtual PickleValue named(const std::string & module, const std::string & name) = 0;

  /** What a function gives. */
  virtual PickleValue called(const PickleValue & function, const PickleValue & argument) = 0;

  /** What is stored elsewhere in the archive. */
  virtual PickleValue stored(const PickleTuple & description) = 0;

  const std::string &
  name() const
  {
    return m_Name;
  }

  /** Something that no file has. */
  Damage strange(const std::string & what) const;

  template <typename T>
  const T &
  as(const PickleValue & value) const
  {
    const T * const content = std::get_if<T>(&value.content);
    return content ? *content : throw strange("a value of another type than is due there");
  }

  std::int64_t
  asNumber(const PickleValue & value) const
  {
    return as<std::int64_t>(value);
  }

  /** A tuple of so many values at least. */
  const PickleTuple & asTuple(const PickleValue & value, std::size_t count = 0) const;

private:
  std::string_view take(std::size_t count);
  std::string      takeLine();

  template <typename T>
  T
  takeNumber()
  {
    T result{};
    std::memcpy(&result, take(sizeof(T)).data(), sizeof(T)); // little-endian, as x86 is
    return result;
  }

  void        push(PickleValue value);
  void        pushTuple(PickleTuple values);
  PickleValue pop();
  PickleTuple pop(std::size_t count);
  PickleTuple popToMark();
  void        fill(const PickleTuple & values, bool arePairs);
  void        remember(std::uint32_t place);
  void        recall(std::uint32_t place);
  void        follow(torch::jit::PickleOpCode code);

  std::string                                    m_Name;
  std::size_t                                    m_Size; // of the program, bytes
  std::string_view                               m_Rest; // not yet followed
  std::vector<PickleValue>                       m_Stack;
  std::vector<std::size_t>                       m_Marks;
  std::unordered_map<std::uint32_t, PickleValue> m_Memo;
};

} // namespace impact
