#include "impact/models/archive_weights.h"

#include "impact/runtime/torch_compat.h"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace impact
{
namespace
{

using torch::jit::PickleOpCode;

/** A part of a sentence about the archive. */
struct Damage : std::runtime_error
{
  using std::runtime_error::runtime_error;
};

struct Value;
using Tuple = std::vector<Value>;

/** What an instruction leaves on the stack: something of no concern here, such as an object or a list, or a whole
 * number, a text or a tuple, of which descriptions of weights are made. */
struct Value
{
  std::variant<std::monostate, std::int64_t, std::shared_ptr<const std::string>, std::shared_ptr<const Tuple>> content;
  std::size_t depth{ 0 }; // of what is nested in it
};

std::size_t
depthAround(const Tuple & values)
{
  std::size_t depth = 0;
  for (const Value & value : values)
  {
    depth = std::max(depth, value.depth);
  }
  return depth + 1;
}

/** The machine that a pickle is a program of, with the instructions that torch knows, and its memory. */
class PickleMachine
{
public:
  /** \param name of the pickle, and of the folder of its weights */
  PickleMachine(caffe2::serialize::PyTorchStreamReader & archive, std::string name)
    : m_Archive(archive)
    , m_Name(std::move(name))
  {
    std::tie(m_Program, m_Size) = archive.getRecord(m_Name + ".pkl");
    m_Rest = { static_cast<const char *>(m_Program.get()), m_Size };
  }

  /** \throw Damage */
  void
  run()
  {
    const auto next = [this] { return static_cast<PickleOpCode>(takeNumber<char>()); };
    for (PickleOpCode code = next(); code != PickleOpCode::STOP; code = next())
    {
      follow(code);
    }
  }

private:
  Damage
  strange(const std::string & what) const
  {
    return Damage(m_Name + ".pkl in it has what torch.jit.save never writes, " + what);
  }

  std::string_view
  take(std::size_t count)
  {
    if (count > m_Rest.size())
    {
      throw Damage(m_Name + ".pkl in it is cut off");
    }
    const std::string_view bytes = m_Rest.substr(0, count);
    m_Rest.remove_prefix(count);
    return bytes;
  }

  template <typename T>
  T
  takeNumber()
  {
    T result{};
    std::memcpy(&result, take(sizeof(T)).data(), sizeof(T)); // little-endian, as x86 is
    return result;
  }

  std::string
  takeLine()
  {
    std::string line(take(std::min(m_Rest.find('\n'), m_Rest.size())));
    take(1);
    return line;
  }

  void
  push(Value value)
  {
    constexpr std::size_t deepest = 1000; // torch frees nested objects by recursion, and crashes where they are many
    if (value.depth > deepest)
    {
      throw strange("objects inside of more than " + std::to_string(deepest) + " others");
    }
    m_Stack.push_back(std::move(value));
  }

  void
  pushTuple(Tuple values)
  {
    const std::size_t depth = depthAround(values);
    push({ std::make_shared<const Tuple>(std::move(values)), depth });
  }

  Tuple
  pop(std::size_t count)
  {
    if (count > m_Stack.size())
    {
      throw strange("an instruction without what it is about");
    }
    const auto begin = m_Stack.end() - static_cast<std::ptrdiff_t>(count);
    Tuple      values(std::make_move_iterator(begin), std::make_move_iterator(m_Stack.end()));
    m_Stack.erase(begin, m_Stack.end());
    return values;
  }

  Value
  pop()
  {
    return std::move(pop(1).front());
  }

  Tuple
  popToMark()
  {
    if (m_Marks.empty() || m_Marks.back() > m_Stack.size())
    {
      throw strange("an end without a beginning");
    }
    const std::size_t count = m_Stack.size() - m_Marks.back();
    m_Marks.pop_back();
    return pop(count);
  }

  /** Put values into a list or a dictionary. */
  void
  fill(const Tuple & values)
  {
    Value container = pop();
    container.depth = std::max(container.depth, depthAround(values));
    push(std::move(container));
  }

  void
  remember(std::uint32_t place)
  {
    if (place >= m_Size) // torch makes room for all places before it
    {
      throw strange("the place " + std::to_string(place) + " in its memory");
    }
    push(m_Memory[place] = pop());
  }

  void
  recall(std::uint32_t place)
  {
    const auto found = m_Memory.find(place);
    push(found != m_Memory.end() ? found->second : throw strange("a value that it has not had before"));
  }

  void
  follow(PickleOpCode code)
  {
    switch (code)
    {
      case PickleOpCode::PROTO:
        take(1);
        return;
      case PickleOpCode::EMPTY_LIST:
      case PickleOpCode::EMPTY_DICT:
      case PickleOpCode::NONE:
      case PickleOpCode::NEWTRUE:
      case PickleOpCode::NEWFALSE:
        return push({});
      case PickleOpCode::BINFLOAT:
        take(sizeof(double));
        return push({});
      case PickleOpCode::BININT1:
        return push({ std::int64_t{ takeNumber<std::uint8_t>() } });
      case PickleOpCode::BININT2:
        return push({ std::int64_t{ takeNumber<std::uint16_t>() } });
      case PickleOpCode::BININT:
        return push({ std::int64_t{ takeNumber<std::int32_t>() } });
      case PickleOpCode::LONG1:
        if (takeNumber<std::uint8_t>() != sizeof(std::int64_t))
        {
          throw strange("a whole number that has not 8 bytes");
        }
        return push({ takeNumber<std::int64_t>() });
      case PickleOpCode::BINUNICODE:
        return push({ std::make_shared<const std::string>(take(takeNumber<std::uint32_t>())) });
      case PickleOpCode::EMPTY_TUPLE:
        return pushTuple({});
      case PickleOpCode::TUPLE:
        return pushTuple(popToMark());
      case PickleOpCode::TUPLE1:
        return pushTuple(pop(1));
      case PickleOpCode::TUPLE2:
        return pushTuple(pop(2));
      case PickleOpCode::TUPLE3:
        return pushTuple(pop(3));
      case PickleOpCode::MARK:
        return m_Marks.push_back(m_Stack.size());
      case PickleOpCode::APPENDS:
      case PickleOpCode::SETITEMS:
        return fill(popToMark());
      case PickleOpCode::SETITEM:
        return fill(pop(2));
      case PickleOpCode::BINPUT:
        return remember(takeNumber<std::uint8_t>());
      case PickleOpCode::LONG_BINPUT:
        return remember(takeNumber<std::uint32_t>());
      case PickleOpCode::BINGET:
        return recall(takeNumber<std::uint8_t>());
      case PickleOpCode::LONG_BINGET:
        return recall(takeNumber<std::uint32_t>());
      case PickleOpCode::GLOBAL:
        return pushNamed();
      case PickleOpCode::NEWOBJ: // of nothing: the state that BUILD brings makes the object
        pop();
        return;
      case PickleOpCode::BUILD:
      case PickleOpCode::REDUCE:
        return push({ {}, depthAround(pop(2)) });
      case PickleOpCode::BINPERSID:
        requireWeights(pop());
        return push({});
      default:
        throw strange("the instruction " + std::to_string(static_cast<unsigned char>(code)));
    }
  }

  /** A type of weights, which is a number to torch, or a function or class. */
  void
  pushNamed()
  {
    const std::string module = takeLine();
    const std::string name = takeLine();
    for (std::int64_t type = 0; type < numberOfTypes && module == "torch"; ++type)
    {
      if (name == std::string(c10::toString(static_cast<c10::ScalarType>(type))) + "Storage")
      {
        return push({ type });
      }
    }
    push({});
  }

  template <typename T>
  const T &
  as(const Value & value) const
  {
    const T * const content = std::get_if<T>(&value.content);
    return content ? *content : throw strange("weights that are described by other things than is usual");
  }

  /** \param description "storage", type, name, device and number of weights */
  void
  requireWeights(const Value & description) const
  {
    const Tuple & values = *as<std::shared_ptr<const Tuple>>(description);
    if (values.size() != 5)
    {
      throw strange("weights that are described by " + std::to_string(values.size()) + " things");
    }
    const std::int64_t type = as<std::int64_t>(values[1]);
    const std::string  record = m_Name + "/" + *as<std::shared_ptr<const std::string>>(values[2]);
    const std::int64_t count = as<std::int64_t>(values[4]);
    if (type < 0 || type >= numberOfTypes || count < 0)
    {
      throw strange(std::to_string(count) + " weights of the type " + std::to_string(type));
    }
    // Of none torch reads no record, and there may be none.
    const std::size_t bytes = count > 0 ? m_Archive.getRecordSize(record) : 0;
    const std::size_t bytesEach = c10::elementSize(static_cast<c10::ScalarType>(type));
    if (static_cast<std::size_t>(count) > bytes / bytesEach)
    {
      throw Damage(record + " in it has " + std::to_string(bytes) + " bytes, and not the " + std::to_string(count) +
                   " weights of " + std::to_string(bytesEach) + " bytes that " + m_Name + ".pkl says");
    }
  }

  static constexpr auto numberOfTypes = static_cast<std::int64_t>(c10::ScalarType::Undefined);

  caffe2::serialize::PyTorchStreamReader & m_Archive;
  std::string                              m_Name;
  at::DataPtr                              m_Program;
  std::size_t                              m_Size{ 0 }; // of the program, bytes
  std::string_view                         m_Rest;      // not yet followed
  std::vector<Value>                       m_Stack;
  std::vector<std::size_t>                 m_Marks;
  std::unordered_map<std::uint32_t, Value> m_Memory;
};

} // namespace

std::optional<std::string>
missingWeightsOf(const std::string & path)
{
  caffe2::serialize::PyTorchStreamReader archive(path);
  try
  {
    PickleMachine(archive, "constants").run();
    PickleMachine(archive, "data").run();
  }
  catch (const Damage & damage)
  {
    return damage.what();
  }
  return std::nullopt;
}

} // namespace impact
