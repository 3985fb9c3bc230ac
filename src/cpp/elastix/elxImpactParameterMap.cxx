#include "elxImpactParameterMap.h"

#include <type_traits>

namespace elastix
{
namespace
{

/** The map is behind a pointer in elastix 5.3.1, and held by value later. */
template <typename TInterface>
const impact::ParameterMap &
MapOf(const TInterface & interface)
{
  if constexpr (std::is_same_v<TInterface, itk::ParameterMapInterface>)
  {
    return interface.GetParameterMap();
  }
  else
  {
    return interface->GetParameterMap();
  }
}

const impact::ParameterMap & MapBehind(const Configuration & configuration);

/** elastix's Configuration answers for single names alone; the map behind it is private. C++ lets an explicit
 * instantiation name a private member, which is how we come by it. */
template <auto VMember>
struct Access
{
  friend const impact::ParameterMap &
  MapBehind(const Configuration & configuration)
  {
    return MapOf(configuration.*VMember);
  }
};

template struct Access<&Configuration::m_ParameterMapInterface>;

} // namespace

impact::ParameterMap
ParameterMapOf(const Configuration & configuration)
{
  return MapBehind(configuration);
}

} // namespace elastix
