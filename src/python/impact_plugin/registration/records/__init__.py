"""Records of registrations: what went in, what ran, what came out; and running them again.

A record is a :class:`Record`, of which the fields are described in ``docs/records.md``.
:func:`impact_plugin.register_images` makes one, its result saves it as ``record.json``,
:func:`impact_plugin.rerun` runs it again.
"""

from impact_plugin.folders.record import BegunRecord, Record, schema
from impact_plugin.folders.record_file import read, write

__all__ = ["BegunRecord", "Record", "read", "schema", "write"]
