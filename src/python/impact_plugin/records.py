"""Records of registrations, read and written; see :mod:`impact_plugin.registration.records`."""

from impact_plugin.registration.records import BegunRecord, Record, read, schema, write

__all__ = ["BegunRecord", "Record", "read", "schema", "write"]
