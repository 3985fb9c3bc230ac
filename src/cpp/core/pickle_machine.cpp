#include "pickle_machine.h"

#include <algorithm>
#include <iterator>

namespace impact
{
namespace
{

using torch::jit::PickleOpCode;

std::size_t
depthAround(const PickleTuple & values)
{
  std::size_t depth = 0;
  for (const PickleValue & value : values)
  {
    depth = std::max(depth, value.depth);
  }
  return depth + 1;
}

} // namespace

void
PickleMachine::run()
{
  if (take(2) != "\x80\x02")
  {
    throw strange("another protocol than 2");
  }
  const auto next = [this] { return static_cast<PickleOpCode>(takeNumber<char>()); };
  for (PickleOpCode code = next(); code != PickleOpCode::STOP; code = next())
  {
    follow(code);
  }
}

Damage
PickleMachine::strange(const std::string & what) const
{
  return Damage(m_Name + ".pkl in it has what torch.jit.save never writes, " + what);
}

const PickleTuple &
PickleMachine::asTuple(const PickleValue & value, std::size_t count) const
{
  const PickleTuple & values = *as<std::shared_ptr<const PickleTuple>>(value);
  return values.size() >= count ? values : throw strange("a tuple that is too short");
}

std::string_view
PickleMachine::take(std::size_t count)
{
  if (count > m_Rest.size())
  {
    throw Damage(m_Name + ".pkl in it is cut off");
  }
  const std::string_view bytes = m_Rest.substr(0, count);
  m_Rest.remove_prefix(count);
  return bytes;
}

std::string
PickleMachine::takeLine()
{
  std::string line(take(std::min(m_Rest.find('\n'), m_Rest.size())));
  take(1);
  return line;
}

void
PickleMachine::push(PickleValue value)
{
  constexpr std::size_t deepest = 1000; // torch frees nested objects by recursion, for which a thread's stack is short
  if (value.depth > deepest)
  {
    throw strange("objects inside of more than " + std::to_string(deepest) + " others");
  }
  m_Stack.push_back(std::move(value));
}

void
PickleMachine::pushTuple(PickleTuple values)
{
  const std::size_t depth = depthAround(values);
  push({ std::make_shared<const PickleTuple>(std::move(values)), depth });
}

PickleValue
PickleMachine::pop()
{
  return std::move(pop(1).front());
}

PickleTuple
PickleMachine::pop(std::size_t count)
{
  if (count > m_Stack.size())
  {
    throw strange("an instruction without what it is about");
  }
  const auto  begin = m_Stack.end() - static_cast<std::ptrdiff_t>(count);
  PickleTuple values(std::make_move_iterator(begin), std::make_move_iterator(m_Stack.end()));
  m_Stack.erase(begin, m_Stack.end());
  return values;
}

PickleTuple
PickleMachine::popToMark()
{
  if (m_Marks.empty() || m_Marks.back() > m_Stack.size())
  {
    throw strange("an end without a beginning");
  }
  const std::size_t count = m_Stack.size() - m_Marks.back();
  m_Marks.pop_back();
  return pop(count);
}

/** Put values into a list, or keys and values into a dictionary. */
void
PickleMachine::fill(const PickleTuple & values, bool arePairs)
{
  if (arePairs && values.size() % 2 != 0)
  {
    throw strange("a key without a value");
  }
  PickleValue container = pop();
  container.depth = std::max(container.depth, depthAround(values));
  push(std::move(container));
}

void
PickleMachine::remember(std::uint32_t place)
{
  if (place >= m_Size) // torch makes room for all places before it
  {
    throw strange("the place " + std::to_string(place) + " in its memory");
  }
  push(m_Memo[place] = pop());
}

void
PickleMachine::recall(std::uint32_t place)
{
  const auto found = m_Memo.find(place);
  push(found != m_Memo.end() ? found->second : throw strange("a value that it has not had before"));
}

void
PickleMachine::follow(PickleOpCode code)
{
  switch (code)
  {
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
      return fill(popToMark(), false);
    case PickleOpCode::SETITEMS:
      return fill(popToMark(), true);
    case PickleOpCode::SETITEM:
      return fill(pop(2), true);
    case PickleOpCode::BINPUT:
      return remember(takeNumber<std::uint8_t>());
    case PickleOpCode::LONG_BINPUT:
      return remember(takeNumber<std::uint32_t>());
    case PickleOpCode::BINGET:
      return recall(takeNumber<std::uint8_t>());
    case PickleOpCode::LONG_BINGET:
      return recall(takeNumber<std::uint32_t>());
    case PickleOpCode::GLOBAL:
    {
      const std::string module = takeLine();
      return push(named(module, takeLine()));
    }
    case PickleOpCode::NEWOBJ: // of nothing: the state that BUILD brings makes the object
      pop();
      return;
    case PickleOpCode::BUILD:
    case PickleOpCode::REDUCE:
    {
      const PickleValue argument = pop();
      return push(called(pop(), argument));
    }
    case PickleOpCode::BINPERSID:
      return push(stored(asTuple(pop())));
    default:
      throw strange("the instruction " + std::to_string(static_cast<unsigned char>(code)));
  }
}

} // namespace impact
