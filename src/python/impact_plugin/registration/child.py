"""The process of a registration, which first says what is doubtful: see :mod:`.before_run`."""

from __future__ import annotations

import sys

from impact_plugin.check import before_run
from impact_plugin.elastix import child

if __name__ == "__main__":
    sys.exit(child.main(before_run.say))
