#include "elxImpactError.h"

#include "elxBaseComponent.h"
#include "elxlog.h"

#include "impact/base/text.h"

#include <stdexcept>

namespace elastix
{

ImpactError::ImpactError(const char * file, unsigned int line, std::string message)
  : itk::ExceptionObject(file, line, message, "Metric \"Impact\"")
  , m_Message(impact::asUtf8(message))
{}


void
ImpactError::Print(std::ostream & stream) const
{
  if (BaseComponent::IsElastixLibrary())
  {
    log::error(m_Message);
    throw std::runtime_error(m_Message);
  }
  stream << m_Message;
}

} // namespace elastix
