"""Records of registrations: reading and writing them; see ``docs/records.md``."""

from impact_plugin.registration.records import BegunRecord, Record, read, schema, write

__all__ = ["BegunRecord", "Record", "read", "schema", "write"]
