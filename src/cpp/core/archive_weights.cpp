#include "archive_weights.h"

#include "pickle_machine.h"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>

namespace impact
{
namespace
{

enum class Function
{
  Tensor,  // of a storage, an offset, sizes and strides
  WithTag, // what it is given first
  Other
};

/** A pickle as torch runs it, with its weights and tensors, and without its objects. */
class WeightsWalk : public PickleMachine
{
public:
  WeightsWalk(std::string_view program, std::string name, caffe2::serialize::PyTorchStreamReader & archive)
    : PickleMachine(program, std::move(name))
    , m_Archive(archive)
  {}

private:
  /** A type of elements, which is a number to torch, or a function or class, whose place in a list is one. */
  PickleValue
  named(const std::string & module, const std::string & name) override
  {
    if (module == "torch" && name != "device")
    {
      for (std::int64_t type = 0; type < static_cast<std::int64_t>(c10::ScalarType::Undefined); ++type)
      {
        if (name == std::string(c10::toString(static_cast<c10::ScalarType>(type))) + "Storage")
        {
          return { type };
        }
      }
      return {}; // a scheme of quantisation
    }
    if (name == "_rebuild_from_type_v2")
    {
      throw strange("a tensor of a class of its own"); // it calls other functions
    }
    const bool isTensor = module == "torch._utils" && (name == "_rebuild_tensor_v2" || name == "_rebuild_qtensor");
    m_Functions.push_back(isTensor                        ? Function::Tensor
                          : module == "torch.jit._pickle" ? Function::WithTag
                                                          : Function::Other);
    return { static_cast<std::int64_t>(m_Functions.size() - 1) };
  }

  PickleValue
  called(const PickleValue & function, const PickleValue & argument) override
  {
    const std::int64_t place = asNumber(function);
    if (place < 0 || static_cast<std::size_t>(place) >= m_Functions.size())
    {
      throw strange("a function that it has not named");
    }
    switch (m_Functions[static_cast<std::size_t>(place)])
    {
      case Function::WithTag:
        return asTuple(argument, 1)[0];
      case Function::Tensor:
        requireInside(asTuple(argument, 4));
        break;
      case Function::Other:
        break;
    }
    return { {}, argument.depth + 1 };
  }

  /** \param description "storage", type, key, device and number of elements */
  PickleValue
  stored(const PickleTuple & description) override
  {
    if (description.size() < 5)
    {
      throw strange("weights that are not described");
    }
    const std::int64_t  type = asNumber(description[1]);
    const std::string & key = *as<std::shared_ptr<const std::string>>(description[2]);
    Storage             storage{ name() + "/" + key, asNumber(description[4]) };
    if (type < 0 || type >= static_cast<std::int64_t>(c10::ScalarType::Undefined) || storage.length < 0)
    {
      throw strange("weights of the type " + std::to_string(type) + ", " + std::to_string(storage.length) + " of them");
    }
    // Of an empty one torch reads no record, and there may be none.
    const std::size_t bytes = storage.length > 0 ? m_Archive.getRecordSize(storage.record) : 0;
    const std::size_t bytesEach = c10::elementSize(static_cast<c10::ScalarType>(type));
    if (static_cast<std::size_t>(storage.length) > bytes / bytesEach)
    {
      throw Damage(storage.record + " in it has " + std::to_string(bytes) + " bytes, and not the " +
                   std::to_string(storage.length) + " numbers of " + std::to_string(bytesEach) + " bytes that " +
                   name() + ".pkl says");
    }
    return { std::make_shared<const Storage>(std::move(storage)) };
  }

  void
  requireInside(const PickleTuple & tensor) const
  {
    const Storage &     storage = *as<std::shared_ptr<const Storage>>(tensor[0]);
    const PickleTuple & sizes = asTuple(tensor[2]);
    const PickleTuple & strides = asTuple(tensor[3], sizes.size());
    const auto          isZero = [this](const PickleValue & size) { return asNumber(size) == 0; };
    if (std::any_of(sizes.begin(), sizes.end(), isZero))
    {
      return; // it has no elements
    }
    const std::int64_t offset = asNumber(tensor[1]);
    std::int64_t       left = offset < 0 ? -1 : storage.length - 1 - offset; // elements behind the first
    for (std::size_t axis = 0; axis < sizes.size() && left >= 0; ++axis)
    {
      const std::int64_t steps = asNumber(sizes[axis]) - 1;
      const std::int64_t stride = asNumber(strides[axis]);
      left = steps < 0 || stride < 0 || (stride > 0 && steps > left / stride) ? -1 : left - steps * stride;
    }
    if (left < 0)
    {
      throw Damage("a tensor that " + name() + ".pkl in it describes lies outside of its weights " + storage.record +
                   ", which are " + std::to_string(storage.length) + " numbers");
    }
  }

  caffe2::serialize::PyTorchStreamReader & m_Archive;
  std::vector<Function>                    m_Functions;
};

} // namespace

std::optional<std::string>
missingWeightsOf(const std::string & path)
{
  caffe2::serialize::PyTorchStreamReader archive(path);
  try
  {
    for (const char * const name : { "constants", "data" })
    {
      const auto [program, size] = archive.getRecord(std::string(name) + ".pkl");
      WeightsWalk({ static_cast<const char *>(program.get()), size }, name, archive).run();
    }
  }
  catch (const Damage & damage)
  {
    return damage.what();
  }
  return std::nullopt;
}

} // namespace impact
