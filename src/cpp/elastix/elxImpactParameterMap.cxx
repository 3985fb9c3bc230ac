#include "elxImpactParameterMap.h"

namespace elastix
{
namespace
{

using InterfaceMember = const itk::ParameterMapInterface::Pointer Configuration::*;

InterfaceMember interfaceMember();

/** elastix's Configuration answers for single names alone; the map behind it is private. C++ lets an explicit
 * instantiation name a private member, which is how we come by it. */
template <InterfaceMember VMember>
struct Access
{
  friend InterfaceMember
  interfaceMember()
  {
    return VMember;
  }
};

template struct Access<&Configuration::m_ParameterMapInterface>;

} // namespace

impact::ParameterMap
ParameterMapOf(const Configuration & configuration)
{
  return (configuration.*interfaceMember())->GetParameterMap();
}

} // namespace elastix
