#include "python_headers.h"

namespace impact::bindings
{
void register_errors(py::module_ & module);
void register_image(py::module_ & module);
void register_settings(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(_core, module)
{
  module.doc() = "Parameters, images and what is said of them: what needs neither torch nor elastix.";
  impact::bindings::register_errors(module);
  impact::bindings::register_image(module);
  impact::bindings::register_settings(module);
}
