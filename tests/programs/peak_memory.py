"""Run a program in the place of the arguments, and print its peak of resident memory, bytes.

Linux hands a process's peak on to what it starts, so that one started by a large process (pytest,
with torch in it) would seem as large; this one is small.
"""

import os
import sys

if __name__ == "__main__":
    pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    print(usage.ru_maxrss * 1024)
    sys.exit(os.waitstatus_to_exitcode(status))
