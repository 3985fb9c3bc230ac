#include "impact/base/python_gil.h"

#include <dlfcn.h>

namespace impact
{
namespace
{

struct PythonApi
{
  int (*isInitialized)();
  int (*holdsGil)();
  void * (*saveThread)();
  void (*restoreThread)(void *);

  PythonApi()
    : isInitialized(reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "Py_IsInitialized")))
    , holdsGil(reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "PyGILState_Check")))
    , saveThread(reinterpret_cast<void * (*)()>(dlsym(RTLD_DEFAULT, "PyEval_SaveThread")))
    , restoreThread(reinterpret_cast<void (*)(void *)>(dlsym(RTLD_DEFAULT, "PyEval_RestoreThread")))
  {}

  bool
  complete() const
  {
    return isInitialized && holdsGil && saveThread && restoreThread;
  }
};

const PythonApi &
pythonApi()
{
  static const PythonApi api;
  return api;
}

thread_local int releasesOfThisThread = 0;

} // namespace

PythonGilRelease::PythonGilRelease()
{
  // Where subinterpreters exist, PyGILState_Check() always says yes: the outermost release of a thread alone acts.
  if (releasesOfThisThread++ > 0)
  {
    return;
  }
  const PythonApi & api = pythonApi();
  if (api.complete() && api.isInitialized() && api.holdsGil())
  {
    m_ThreadState = api.saveThread();
  }
}

PythonGilRelease::~PythonGilRelease()
{
  if (m_ThreadState)
  {
    pythonApi().restoreThread(m_ThreadState);
  }
  --releasesOfThisThread;
}

ThreadWithoutPython::ThreadWithoutPython()
{
  ++releasesOfThisThread;
}

ThreadWithoutPython::~ThreadWithoutPython()
{
  --releasesOfThisThread;
}

} // namespace impact
