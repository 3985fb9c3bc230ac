#include "python_headers.h"

namespace impact::bindings
{
void register_check(py::module_ & module);
void register_features(py::module_ & module);
void register_models(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(_networks_api, module)
{
  module.doc() = "Networks, features and distances. impact_plugin._networks imports it, once it has opened the library "
                 "for the torch that is installed.";
  py::module_::import("impact_plugin._core"); // Image, settings and findings are registered there
  impact::bindings::register_models(module);
  impact::bindings::register_check(module);
  impact::bindings::register_features(module);
}
