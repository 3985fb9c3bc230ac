"""What the package's functions for model files raise."""

from __future__ import annotations


class ExportError(ValueError):
    """A module that cannot be made into a model file."""
