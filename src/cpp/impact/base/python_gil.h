#pragma once

namespace impact
{

/** Lets go of Python's global interpreter lock while in scope, if and only if this thread holds it.
 *
 * ITK's Python wrapping keeps the lock during Update(), and torch's autograd refuses to run under it once a process has
 * imported torch. The interpreter is looked up at run time: in a process without Python this does nothing. */
class PythonGilRelease
{
public:
  PythonGilRelease();
  ~PythonGilRelease();
  PythonGilRelease(const PythonGilRelease &) = delete;
  PythonGilRelease & operator=(const PythonGilRelease &) = delete;

private:
  void * m_ThreadState{ nullptr };
};

/** Says, while in scope, that this thread never holds the lock: one of our own, which must not ask. */
class ThreadWithoutPython
{
public:
  ThreadWithoutPython();
  ~ThreadWithoutPython();
  ThreadWithoutPython(const ThreadWithoutPython &) = delete;
  ThreadWithoutPython & operator=(const ThreadWithoutPython &) = delete;
};

} // namespace impact
