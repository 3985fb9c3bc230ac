#include "python_headers.h"

namespace impact::bindings
{
void register_command_line(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(_elastix, module)
{
  module.doc() = "elastix's command line, run by the library inside the itk-elastix wheel. In a process that also uses "
                 "itk, load this module after itk's own.";
  impact::bindings::register_command_line(module);
}
