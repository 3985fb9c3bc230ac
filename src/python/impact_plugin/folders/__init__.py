"""Output folders of registrations as typed data: what we save, and what elastix writes."""

LOG = "elastix.log"
"""elastix's own, in both kinds of folders."""

RECORD = "record.json"
"""The record of a registration, beside its results."""
