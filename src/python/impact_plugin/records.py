"""Records of registrations: reading and writing them; see ``docs/records.md``."""

from impact_plugin.folders.record import (
    Arguments,
    BegunRecord,
    BegunStage,
    Command,
    Image,
    Images,
    InitialTransform,
    Level,
    Machine,
    Model,
    OtherFile,
    Record,
    ResampledBy,
    ResultImage,
    Stage,
    Transform,
    schema,
)
from impact_plugin.folders.record_file import read, write

__all__ = [
    "Arguments",
    "BegunRecord",
    "BegunStage",
    "Command",
    "Image",
    "Images",
    "InitialTransform",
    "Level",
    "Machine",
    "Model",
    "OtherFile",
    "Record",
    "ResampledBy",
    "ResultImage",
    "Stage",
    "Transform",
    "read",
    "schema",
    "write",
]
