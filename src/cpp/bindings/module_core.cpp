#include "python_headers.h"

namespace impact::bindings
{
void register_batches(py::module_ & module);
void register_check(py::module_ & module);
void register_image(py::module_ & module);
void register_models(py::module_ & module);
void register_settings(py::module_ & module);
void register_similarity(py::module_ & module);
} // namespace impact::bindings

PYBIND11_MODULE(_core, module)
{
  module.doc() = "The core of the metric: parameters, models, features and distances. Depends on torch alone.";
  module.attr("TORCH_VERSION") = IMPACT_TORCH_VERSION;
  module.attr("ITK_ELASTIX_VERSION") = IMPACT_ITK_ELASTIX_VERSION;
  impact::bindings::register_batches(module);
  impact::bindings::register_image(module);
  impact::bindings::register_models(module);
  impact::bindings::register_settings(module);
  impact::bindings::register_check(module);
  impact::bindings::register_similarity(module);
}
