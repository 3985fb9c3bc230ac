"""Records of registrations: reading and writing them; see ``docs/records.md``."""

from impact_plugin.registration.records import Record, read, write

__all__ = ["Record", "read", "write"]
