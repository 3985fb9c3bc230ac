"""Gives every Python that has this folder on PYTHONPATH the pretended device, before anything else.

For registrations, whose elastix runs in a process of its own. IMPACT_PRETENDED_LIBRARY is the path
of the library (helpers.pretended.library).
"""

import ctypes
import os

ctypes.CDLL(os.environ["IMPACT_PRETENDED_LIBRARY"])
