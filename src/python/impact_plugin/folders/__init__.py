"""Output folders of registrations, read as plain data: what we save, and what elastix writes."""

LOG = "elastix.log"
"""elastix's own, in both kinds of folders."""

RECORD = "record.json"
"""The record of a registration, beside its results."""
