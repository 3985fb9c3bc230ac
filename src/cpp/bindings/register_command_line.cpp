#include "python_headers.h"

int impactElastixMain(int argc, char ** argv);
int impactTransformixMain(int argc, char ** argv);

namespace impact::bindings
{
namespace
{

int
run(int (*mainFunction)(int, char **), std::vector<std::string> arguments)
{
  std::vector<char *> argv;
  for (std::string & argument : arguments)
  {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr); // as the runtime hands it to a real main()
  const py::gil_scoped_release release;
  return mainFunction(static_cast<int>(arguments.size()), argv.data());
}

} // namespace

void
register_command_line(py::module_ & module)
{
  module.def(
    "run_elastix",
    [](std::vector<std::string> arguments) { return run(impactElastixMain, std::move(arguments)); },
    py::arg("arguments"),
    "elastix's main(). `arguments` begins with the program's name. Returns the exit code. For a process of its own: it "
    "puts elastix into the state of an executable for good.");
  module.def(
    "run_transformix",
    [](std::vector<std::string> arguments) { return run(impactTransformixMain, std::move(arguments)); },
    py::arg("arguments"),
    "transformix's main(), likewise.");
}

} // namespace impact::bindings
