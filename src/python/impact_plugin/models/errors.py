"""What the package's functions for model files raise."""

from __future__ import annotations

from impact_plugin._errors import InputError


class ExportError(InputError):
    """A module that cannot be made into a model file."""
