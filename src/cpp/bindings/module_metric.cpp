#include "python_headers.h"

namespace impact::bindings
{
void register_metric(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(_metric, module)
{
  module.doc() =
    "The metric as an object, without elastix around it. In a process that also uses itk, load this module "
    "after itk's own.";
  py::module_::import("impact_plugin._core"); // Image and Error are registered there
  impact::bindings::register_metric(module);
}
