"""Gives every Python that has this folder on PYTHONPATH the pretended device, before anything else.

For registrations, whose elastix runs in a process of its own.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
importlib.import_module("pretended").open_here()
sys.path.pop(0)
