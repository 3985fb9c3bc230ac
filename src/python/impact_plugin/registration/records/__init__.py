"""Records of registrations: what went in, what ran, what came out; and running them again.

A record is a JSON object, described field by field in ``docs/records.md`` and by
``record.schema.json`` beside this file. :func:`impact_plugin.register_images` makes one, its
result saves it as ``record.json``, :func:`impact_plugin.rerun` runs it again.
"""

from impact_plugin.registration.records.contents import Record
from impact_plugin.registration.records.storage import read, write

__all__ = ["Record", "read", "write"]
