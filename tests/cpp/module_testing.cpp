#include "python_headers.h"

namespace impact::bindings
{
void register_batches(py::module_ & module);
void register_metric(py::module_ & module);
void register_similarity(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(impact_testing, module)
{
  module.doc() =
    "What only tests see of the metric: the metric without elastix around it, the similarities, batches. In "
    "a process that also uses itk, load this module after itk's own.";
  py::module_::import("impact_plugin._networks"); // Image and Error are registered there, and torch is opened
  impact::bindings::register_batches(module);
  impact::bindings::register_metric(module);
  impact::bindings::register_similarity(module);
}
