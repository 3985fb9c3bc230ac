#ifndef elxImpactError_h
#define elxImpactError_h

#include "itkMacro.h"

#include <string>

namespace elastix
{

/** What stops a registration before its first iteration, and how the user comes to read it.
 *
 * elastix catches every exception of a component, prints itk exceptions to its log through Print(), and then tells
 * callers of its library only "Internal elastix error: See elastix log". So that a Python program sees the reason too,
 * Print() writes the log itself and, where elastix runs as a library, lets the message travel on as a
 * std::runtime_error. As an executable elastix ends as it always does: with the reason in its log and exit code 1. */
class ImpactError : public itk::ExceptionObject
{
public:
  ImpactError(const char * file, unsigned int line, std::string message);

  void Print(std::ostream & stream) const override;

private:
  std::string m_Message;
};

} // namespace elastix

#endif
