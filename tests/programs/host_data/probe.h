#ifndef probe_h
#define probe_h

#include "itkLightObject.h"

#include <dlfcn.h>

#include <cstddef>
#include <functional>
#include <string>
#include <typeinfo>
#include <vector>

/** One comparison of what the host does with what its headers say; `where` is a class or a member. */
struct Row
{
  std::string where;
  std::size_t ours;
  std::size_t hosts;
};

inline std::vector<Row> rows;

extern "C" std::size_t allocatedSize(const void * object);

/** An object of a class, made by the host's own New(), which each class's own virtual CreateAnother() calls; that needs
 * no object, only the table. Null where the host does not have the class's table, or where New() makes an object of
 * another class. */
template <typename TClass>
itk::LightObject::Pointer
madeByHost()
{
  const std::string name = std::string("_ZTV") + typeid(TClass).name();
  auto * const      table = static_cast<char *>(dlsym(RTLD_DEFAULT, name.c_str()));
  if (!table)
  {
    return nullptr;
  }
  const void * const place = table + 2 * sizeof(void *); // after offset and type information
  const auto         made = reinterpret_cast<const itk::LightObject *>(&place)->CreateAnother();
  const auto &       object = *made;
  return std::string(typeid(object).name()) == typeid(TClass).name() ? made : nullptr;
}

template <typename TClass>
typename TClass::Pointer
typedByHost()
{
  const auto object = madeByHost<TClass>();
  // By place, as all of the plugin's code takes it: the object's address is that of its first base.
  return reinterpret_cast<TClass *>(object.GetPointer());
}

/** The size that the host allocates for an object of a class. */
inline std::size_t
sizeInHost(const itk::LightObject & object)
{
  static const auto sizeOf = reinterpret_cast<decltype(&allocatedSize)>(dlsym(RTLD_DEFAULT, "allocatedSize"));
  return sizeOf(dynamic_cast<const void *>(&object));
}

void compareClasses();
void compareMembers();

#endif
