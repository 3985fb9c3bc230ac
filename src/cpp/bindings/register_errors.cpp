#include "python_headers.h"

#include "impact/base/error.h"
#include "impact/base/memory.h"
#include "impact/base/text.h"

namespace impact::bindings
{

void
register_errors(py::module_ & module)
{
  static py::handle error = py::exception<Error>(module, "Error", PyExc_RuntimeError).release(); // lives as the module
  error.doc() = "What a user can mend: names the parameter or file, the value, what is allowed and what to do.";
  py::register_exception_translator([](std::exception_ptr thrown) {
    try
    {
      std::rethrow_exception(thrown);
    }
    catch (const Error & caught)
    {
      py::set_error(error, asUtf8(caught.what()).c_str());
    }
  });

  module.def("available_memory", &availableMemory, "Bytes that this process may still use.");
}

} // namespace impact::bindings
