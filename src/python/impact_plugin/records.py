"""Read and write records of registrations; see :mod:`impact_plugin.registration.records`."""

from impact_plugin.registration.records import Record, read, write

__all__ = ["Record", "read", "write"]
