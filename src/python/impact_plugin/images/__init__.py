"""Images of every library, to SimpleITK and back, and what is checked of them."""

from impact_plugin.images.array import ImageArray

__all__ = ["ImageArray"]
