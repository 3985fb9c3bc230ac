"""The fields of a record, as ``docs/records.md`` describes them one by one."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from impact_plugin import _html

Sha256: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Time: TypeAlias = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Device: TypeAlias = Annotated[str, Meta(pattern=r"^(cpu|cuda:\d+)$")]
Gpu: TypeAlias = Annotated[str, Meta(pattern=r"^cuda:\d{1,4}$")]
Parameters: TypeAlias = dict[str, Annotated[list[str], Meta(min_length=1)]]

_Axes = Meta(min_length=2, max_length=3)
_Side: TypeAlias = Annotated[int, Meta(ge=2)]
_Length: TypeAlias = Annotated[float, Meta(gt=0)]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a record: its fields are attributes."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  (whatever the field holds)
        """Give a field by its name, as when records were dictionaries."""
        if name not in self.__struct_fields__:
            raise KeyError(name)
        message = f"fields of records are attributes: write .{name} in place of [{name!r}]"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(self, name)


class Command(Part, frozen=True):
    """The process."""

    arguments: list[str]
    folder: str


class Arguments(Part, frozen=True, omit_defaults=True):
    """Arguments of ``register_images`` that are numbers or texts."""

    iterations: Count | Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1)] | None
    threads: Count | None
    device: str | None
    seed: Count | None
    default_pixel_value: int | float | None
    channel: int | str | None = None


class Image(Part, frozen=True):
    """An image: where it came from, its grid (x, y, z; mm, LPS) and its voxels."""

    path: str | None
    file_sha256: Sha256 | None
    stored: str | None
    pixel_type: str
    size: Annotated[list[_Side], _Axes]
    spacing: Annotated[list[_Length], _Axes]
    origin: Annotated[list[float], _Axes]
    direction: Annotated[list[float], Meta(min_length=4, max_length=9)]
    voxels_sha256: Sha256


class Images(Part, frozen=True):
    """The images of a registration, by the names of the arguments of ``register_images``."""

    fixed: Image
    moving: Image
    fixed_mask: Image | None
    moving_mask: Image | None

    def items(self) -> list[tuple[str, Image | None]]:
        """Give the images with their names."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__]


class InitialTransform(Part, frozen=True):
    """From where the first stage began."""

    given: str
    path: str | None
    file_sha256: Sha256 | None
    parameters: list[Parameters]
    fields: list[str]
    sha256: Sha256


class BegunStage(Part, frozen=True):
    """A stage before elastix starts."""

    name: str
    parameters: Parameters
    seed: Count | None
    devices: list[Device]


class Level(Part, frozen=True):
    """What came out of a resolution level."""

    iterations: Count
    metric: float | None
    seconds: float


class Stage(BegunStage, frozen=True):
    """A stage that ran."""

    levels: tuple[Level, ...]
    transform_sha256: Sha256 | None


class Model(Part, frozen=True):
    """A model file: its name in the maps, and where it was."""

    name: str
    path: str
    bytes: Count
    sha256: Sha256


class OtherFile(Part, frozen=True):
    """Another file that a parameter names."""

    parameter: str
    name: str
    path: str
    bytes: Count
    sha256: Sha256


class Transform(Part, frozen=True):
    """The whole transform, and its file beside the record."""

    file: str | None
    sha256: Sha256


class ResampledBy(Part, frozen=True):
    """How the moving image became the warped one: :class:`.transforms.resampling.Resampling`."""

    order: Count
    outside: float | None


class ResultImage(Part, frozen=True, omit_defaults=True):
    """The warped image, and its file beside the record."""

    file: str | None
    voxels_sha256: Sha256
    resampling: ResampledBy | None = None


class Machine(Part, frozen=True):
    """On what it ran."""

    system: str
    processor: str
    instructions: list[str]
    processors: Count | None
    plugin_sha256: Sha256 | None
    variables: dict[str, str]
    gpus: dict[Gpu, str | None]


class BegunRecord(Part, frozen=True):
    """What goes into a registration: its record before elastix starts."""

    # Raised where a field changes its meaning or goes; new fields leave it.
    record_version: Literal[1]
    started: Time
    command: Command
    arguments: Arguments
    images: Images
    initial_transform: InitialTransform | None
    stages: Annotated[tuple[BegunStage, ...], Meta(min_length=1)]
    models: tuple[Model, ...]
    files: tuple[OtherFile, ...]


class Record(BegunRecord, frozen=True):
    """The record of a registration."""

    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]
    finished: Time
    stopped: bool
    transform: Transform
    result_image: ResultImage
    timings: dict[str, float]
    versions: dict[str, str | None]
    machine: Machine
    log: str | None

    def _repr_html_(self) -> str:
        rows = [
            (
                stage.name,
                number,
                level.iterations,
                _html.number(level.metric),
                f"{level.seconds:.2f}",
            )
            for stage in self.stages
            for number, level in enumerate(stage.levels, 1)
        ]
        heads = ("stage", "level", "iterations", "last metric", "seconds")
        return _html.block(
            f"Record of a registration, {self.started}", lambda: _html.table(heads, rows)
        )


def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of records, made from :class:`Record`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "A registration by impact-plugin; docs/records.md says what each field is. "
        "New fields may come without a new record_version.",
        **msgspec.json.schema(Record),
    }
