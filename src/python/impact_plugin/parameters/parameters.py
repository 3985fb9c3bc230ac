"""A whole parameter map: the metric's levels, and the parameters of elastix around them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impact_plugin import _devices, _html
from impact_plugin._arguments import check_choice
from impact_plugin._deprecated import renamed_arguments
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin._numbers import keep_plain, plain_arguments
from impact_plugin.parameters import defaults
from impact_plugin.parameters.defaults import Transform
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.level import Level
from impact_plugin.parameters.names import METRIC, Dialect
from impact_plugin.parameters.values import ParameterMap, Value, as_map
from impact_plugin.parameters.writing import write_levels

if TYPE_CHECKING:
    from impact_plugin.parameters.elastix_text import ElastixFile
    from impact_plugin.parameters.toml_text import TomlFile


@dataclass(frozen=True)
class Parameters:
    """Everything that a registration with the metric is told.

    Attributes:
        levels: The resolution levels, coarse to fine.
        elastix: All other parameters, by name; values as elastix has them. Numbers and booleans are
            written as texts. ``NumberOfResolutions`` and the images' dimensions need not be here.
        image_dimension: 2 or 3.
        label: The metric's own, "Metric1", in a map of several Impact metrics; else empty.

    Raises:
        ValueError: A value is not allowed.
        TypeError: A value of elastix's parameters is of a kind that is not.
    """

    levels: Level | Sequence[Level]
    elastix: Mapping[str, Value] = field(default_factory=dict, hash=False)
    image_dimension: int = 3
    label: str = ""

    def __post_init__(self) -> None:
        keep_plain(self)
        levels = (self.levels,) if isinstance(self.levels, Level) else tuple(self.levels)
        object.__setattr__(self, "levels", levels)
        values = {name: tuple(texts) for name, texts in as_map(self.elastix, "elastix").items()}
        object.__setattr__(self, "elastix", values)
        if not levels:
            message = "levels is empty. Give at least one Level."
            raise InputError(message)
        check_choice("image_dimension", self.image_dimension, (2, 3))
        for level in levels:
            for model in level.pairs:
                for network in model.networks:
                    count = len(network.voxel_sizes)
                    if max(network.dimension, count) > self.image_dimension:
                        message = (
                            f"model {network.path!r} has dimension {network.dimension} and a "
                            f"voxel_size of {count} numbers, but the images have dimension "
                            f"{self.image_dimension}. Give as many or fewer."
                        )
                        raise InputError(message)

    @classmethod
    @plain_arguments
    def around(
        cls,
        levels: Level | Sequence[Level],
        transform: Transform = "bspline",
        image_dimension: int = 3,
        **changes: Value,
    ) -> Parameters:
        """Put levels into parameters of elastix that suit them.

        Args:
            levels: The resolution levels.
            transform: "translation", "rigid", "affine" or "bspline".
            image_dimension: 2 or 3.
            changes: Further parameters of elastix, and others in the place of those of
                :func:`impact_plugin.parameters.recommended`.
        """
        given = (levels,) if isinstance(levels, Level) else tuple(levels)
        jacobian = any(level.mode == "Jacobian" for level in given)
        elastix = defaults.recommended(transform, len(given), image_dimension, jacobian)
        return cls(given, {**elastix, **changes}, image_dimension)

    @property
    def resolution_levels(self) -> tuple[Level, ...]:
        """The levels, as a tuple for type checkers."""
        return (self.levels,) if isinstance(self.levels, Level) else tuple(self.levels)

    def _repr_html_(self) -> str:
        rows = [
            (
                number,
                level.mode,
                level.device,
                ", ".join(str(each.path) for model in level.pairs for each in model.networks),
            )
            for number, level in enumerate(self.resolution_levels, start=1)
        ]
        return _html.block(
            f"Parameters of {len(rows)} levels, {self.image_dimension}D",
            lambda: _html.table(("level", "mode", "device", "models"), rows),
            lambda: _html.folded(
                "elastix's own",
                _html.table(
                    (), ((k, " ".join(v)) for k, v in self.to_elastix_map().items()), most=100
                ),
            ),
        )

    @renamed_arguments(gpu=("device", _devices.name_of))
    def on(self, device: str) -> Parameters:
        """Give the parameters with every level on a device: "cpu", "cuda" or "cuda:1"."""
        name = _devices.from_argument(device)
        levels = [level.on(name) for level in self.resolution_levels]
        return dataclasses.replace(self, levels=levels)

    def with_patch_sizes(self) -> Parameters:
        """Give the parameters with every patch size that is None measured.

        Raises:
            impact_plugin.parameters.ParameterError: A model's file cannot be opened or run.
        """
        from impact_plugin.parameters import patch_size  # imports numpy

        levels = [patch_size.decided(level) for level in self.resolution_levels]
        return dataclasses.replace(self, levels=levels)

    def to_parameter_map(self, dialect: Dialect = "numbered") -> ParameterMap:
        """Write everything as elastix reads it.

        Patch sizes that are None are measured, see :meth:`with_patch_sizes`.

        Args:
            dialect: "numbered": the names of elastix 5.3.1, ``ImpactPatchSize0``; "prefixed":
                ``ImpactPatchSize``; "plain": ``PatchSize``.

        Raises:
            ValueError: The dialect has no way to write a path.
            impact_plugin.parameters.ParameterError: A model's file cannot be opened or run.
        """
        levels = self.with_patch_sizes().resolution_levels
        return {**self.to_elastix_map(), **write_levels(levels, dialect, self.label)}

    def to_elastix_map(self) -> ParameterMap:
        """Write what is elastix's own, with the metric's name, levels and dimensions."""
        dimension = [str(self.image_dimension)]
        front = {
            "FixedImageDimension": dimension,
            "MovingImageDimension": dimension,
            "NumberOfResolutions": [str(len(self.resolution_levels))],
            "Metric": [METRIC],
        }
        return {
            **front,
            **as_map(self.elastix),
            "NumberOfResolutions": front["NumberOfResolutions"],
        }

    def to_parameter_object(self, dialect: Dialect = "numbered") -> Any:  # noqa: ANN401
        """Write everything as an ``itk.ParameterObject``; imports itk, which takes seconds."""
        import itk

        parameters = itk.ParameterObject.New()
        parameters.AddParameterMap(self.to_parameter_map(dialect))
        return parameters

    @classmethod
    def from_parameter_map(
        cls,
        parameter_map: Mapping[str, Value],
        image_dimension: int | None = None,
        label: str | None = None,
    ) -> Parameters:
        """Read a map in any dialect, by the parser that elastix's metric runs.

        Args:
            parameter_map: As itk has it, or with texts, numbers and truth values as Python writes
                them; or an ``itk.ParameterObject`` that has one map.
            image_dimension: By default what the map says, or 3.
            label: Label of the metric, "Metric1", in a map of several Impact metrics.

        Raises:
            impact_plugin.parameters.ParameterError: The parser refuses it; all reasons are given.
            TypeError: It is of another kind, or a value is.
            ValueError: The ``itk.ParameterObject`` has no map, or several.
        """
        return cls._parsed(as_map(parameter_map), image_dimension, label)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        image_dimension: int | None = None,
        label: str | None = None,
    ) -> Parameters:
        """Read a ``.txt`` or ``.toml`` file of elastix, in any dialect.

        Args:
            path: Path of the file.
            image_dimension: By default what the file says, or 3.
            label: Label of the metric, "Metric1", in a file of several Impact metrics.

        Raises:
            impact_plugin.parameters.ParameterError: It is no parameter file, or the parser refuses
                it; all reasons are given, with the file's lines.
            OSError: It cannot be read.
        """
        file = open_file(path)
        return cls._parsed(file.parameters, image_dimension, label, file)

    @classmethod
    def _parsed(
        cls,
        parameter_map: ParameterMap,
        image_dimension: int | None,
        label: str | None,
        file: ElastixFile | TomlFile | None = None,
    ) -> Parameters:
        from impact_plugin.parameters.parsing import parse  # loads the core

        found = parse(parameter_map, image_dimension, label, file)
        try:
            return cls(found.levels, found.elastix, found.image_dimension, found.label)
        except ValueError as error:
            source = file.source if file else ""
            raise ParameterError([Problem(str(error))], source) from None

    def write(self, path: str | os.PathLike[str], dialect: Dialect = "numbered") -> None:
        """Write a new ``.txt`` or ``.toml`` file, which elastix reads either way.

        Args:
            path: Path of the file; an existing one is replaced.
            dialect: See :meth:`to_parameter_map`.

        Raises:
            ValueError: The ending is another, or a value cannot be written in the file's syntax.
            OSError: It cannot be written.
        """
        place = expanded(path)
        file = new_file(place)
        file.update(self.to_parameter_map(dialect))
        file.write(place)

    def merged_into(
        self, parameter_map: Mapping[str, Value], dialect: Dialect | None = None
    ) -> ParameterMap:
        """Put the metric into a map: of the user's, or one of elastix's defaults.

        The map's own parameters win over :attr:`elastix`, of which only those go in that the map
        has not; but ``NumberOfResolutions`` becomes the number of levels, and what the map says of
        an Impact metric is replaced in all dialects. ``Metric``: the first "Impact" there, or else
        the first metric, becomes this one; others stay. Where the map gives no image pyramid
        schedule for that number of levels, one of ones goes in, since the metric resamples the
        images itself; a ``GridSpacingSchedule`` for another number of levels is made anew.

        Args:
            parameter_map: As for :meth:`from_parameter_map`; stays as it is.
            dialect: By default the one in which the map has most of the metric's parameters, or
                "numbered"; what means the same then stays as the map has it.

        Raises:
            ValueError: The dialect has no way to write a path.
            TypeError: The map or a value is of another kind.
            impact_plugin.parameters.ParameterError: A model's file cannot be opened or run.
        """
        from impact_plugin.parameters.merging import merge

        return merge(self, as_map(parameter_map), dialect)

    def write_into(
        self, path: str | os.PathLike[str], dialect: Dialect | None = None
    ) -> ParameterMap:
        """Put the metric into a user's file, in place: see :meth:`merged_into`.

        Comments, order and formatting of all that does not change stay as they are.

        Args:
            path: Path of a ``.txt`` or ``.toml`` file.
            dialect: By default the file's; what means the same then stays as it is written.

        Returns:
            The map that the file now is.

        Raises:
            impact_plugin.parameters.ParameterError: It is no parameter file.
            ValueError: A value cannot be written in the file's syntax.
            OSError: It cannot be read or written.
        """
        file = open_file(path)
        file.update(self.merged_into(file.parameters, dialect))
        file.write(expanded(path))
        return file.parameters


def open_file(path: str | os.PathLike[str]) -> ElastixFile | TomlFile:
    """Read a parameter file as text that can be changed in place.

    Raises:
        impact_plugin.parameters.ParameterError: It is no parameter file.
        ValueError: Its name ends neither in .txt nor in .toml.
        OSError: It cannot be read.
    """
    place = expanded(path)
    if not place.exists():
        message = f"there is no parameter file {str(place)!r} (in {Path.cwd()})"
        raise MissingFileError(message)
    return type(new_file(place)).read(place)


def new_file(path: str | os.PathLike[str]) -> ElastixFile | TomlFile:
    """Give an empty parameter file of the kind that a path names.

    Raises:
        ValueError: It ends neither in .txt nor in .toml.
    """
    ending = Path(path).suffix
    if ending == ".txt":
        from impact_plugin.parameters.elastix_text import ElastixFile

        return ElastixFile(source=str(path))
    if ending == ".toml":
        from impact_plugin.parameters.toml_text import TomlFile

        return TomlFile(source=str(path))
    message = f"{os.fspath(path)!r}: elastix reads parameter files that end in .txt or .toml."
    raise InputError(message)
