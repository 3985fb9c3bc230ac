"""Checking a parameter map before elastix runs it: all that is wrong or doubtful, at once.

The parser is the one that elastix's metric runs, and models are opened and tried as it does before
its first iteration: what has no error here does not stop there. ``docs/checking.md`` lists the
checks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from impact_plugin import _devices
from impact_plugin._arguments import check_integer, check_number
from impact_plugin._deprecated import renamed
from impact_plugin._errors import InputError
from impact_plugin._numbers import plain_arguments
from impact_plugin.check.images import ImageError, ImageHeader, core_grid
from impact_plugin.check.missing_models import remedy_of
from impact_plugin.check.report import (
    SCHEMA_VERSION,
    Finding,
    LevelMemory,
    Report,
    Severity,
    finding,
)
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.values import Value, as_map

if TYPE_CHECKING:
    from impact_plugin import _core
    from impact_plugin.images.colour import Channel
    from impact_plugin.parameters.elastix_text import ElastixFile
    from impact_plugin.parameters.toml_text import TomlFile

__all__ = [
    "SCHEMA_VERSION",
    "Finding",
    "ImageError",
    "ImageHeader",
    "LevelMemory",
    "Report",
    "Severity",
    "check_file",
    "check_map",
]

__getattr__ = renamed(__name__, {"JSON_SCHEMA": "SCHEMA_VERSION"})

Image = str | os.PathLike[str] | ImageHeader


@plain_arguments
def check_file(
    path: str | os.PathLike[str],
    fixed: Image | None = None,
    moving: Image | None = None,
    *,
    accuracy: float | None = None,
    threads: int | None = None,
    channel: Channel | None = None,
) -> Report:
    """Check a ``.txt`` or ``.toml`` file of elastix.

    Args:
        path: Path of the file. Models in it are relative to the current folder, as for elastix.
        fixed: The fixed image: a path, or its header. Both images or none.
        moving: The moving image.
        accuracy: Wanted, in mm: warns where the features of the last level lie too far apart.
        threads: To run models with; by default as many as torch takes.
        channel: What stands for images with colours, as in :func:`impact_plugin.register_images`.

    Returns:
        The findings with their lines. A file that is no parameter file is a finding, too.

    Raises:
        ValueError: One image is given without the other, ``accuracy`` is not above 0, or the path
            ends neither in .txt nor .toml.
        TypeError: An argument is of another kind.
        FileNotFoundError: The file is not there.
        OSError: The file cannot be read.

    Warns:
        ColourWarning: An image has colours, and ``channel`` was not given.
    """
    from impact_plugin.parameters.parameters import open_file

    _check_arguments(fixed, moving, accuracy, threads, channel)
    try:
        file = open_file(path)
    except ParameterError as error:
        findings = [
            Finding("error", "syntax", each.parameter, each.line, (), each.text, each.remedy)
            for each in error.problems
        ]
        return Report(os.fspath(path), tuple(findings))
    if not file.parameters:
        text = "the file has no parameters."
        remedy = 'Give (Metric "Impact") and its parameters.'
        return Report(os.fspath(path), (finding("error", "syntax", "", text, remedy),))
    return _Checker(file.parameters, file, channel).run(fixed, moving, accuracy, threads or 0)


@plain_arguments
def check_map(
    parameter_map: Mapping[str, Value],
    fixed: Image | None = None,
    moving: Image | None = None,
    *,
    accuracy: float | None = None,
    threads: int | None = None,
    channel: Channel | None = None,
) -> Report:
    """Check a map; arguments and result as for :func:`check_file`, without lines.

    Args:
        parameter_map: As itk has it, or with texts, numbers and truth values as Python writes them;
            or an ``itk.ParameterObject`` that has one map.
        fixed: The fixed image.
        moving: The moving image.
        accuracy: Wanted, in mm.
        threads: To run models with.
        channel: What stands for images with colours.

    Raises:
        TypeError: The map or a value is of another kind.
        ValueError: One image is given without the other, or the ``itk.ParameterObject`` has no map,
            or several.
    """
    _check_arguments(fixed, moving, accuracy, threads, channel)
    checker = _Checker(as_map(parameter_map), None, channel)
    return checker.run(fixed, moving, accuracy, threads or 0)


def _check_arguments(
    fixed: Image | None,
    moving: Image | None,
    accuracy: float | None,
    threads: int | None,
    channel: Channel | None,
) -> None:
    from impact_plugin.images.colour import check_channel  # wants numpy

    check_channel(channel)
    if (fixed is None) != (moving is None):
        message = "only one image is given. Give the fixed and the moving image, or neither."
        raise InputError(message)
    check_number("accuracy", accuracy)
    if accuracy is not None and accuracy <= 0:
        message = f"accuracy is {accuracy!r}, expected mm above 0"
        raise InputError(message)
    check_integer("threads", threads, 0)


class _Checker:
    def __init__(
        self,
        parameters: dict[str, list[str]],
        file: ElastixFile | TomlFile | None,
        channel: Channel | None,
    ) -> None:
        self.parameters = parameters
        self.file = file
        self.channel = channel
        self.findings: list[Finding] = []

    def run(
        self, fixed: Image | None, moving: Image | None, accuracy: float | None, threads: int
    ) -> Report:
        from impact_plugin import _core, _networks  # loads torch's libraries
        from impact_plugin.check import level_checks, map_checks
        from impact_plugin.parameters.defaults import DEFAULT_LEVELS
        from impact_plugin.parameters.names import impact_labels
        from impact_plugin.parameters.parsing import count_of

        images = self._images(fixed, moving)
        self._add(map_checks.check_images(self.parameters, images))
        self._add(map_checks.check_directions(self.parameters, images))
        try:
            levels = count_of(self.parameters, "NumberOfResolutions", DEFAULT_LEVELS)
            dimension = count_of(self.parameters, "FixedImageDimension", 3)
        except ParameterError as error:
            self._add(_of_value(problem) for problem in error.problems)
            return self._report((), 0)
        if images:
            dimension = images["fixed"].dimension
        elif dimension not in (2, 3):
            text = f'"{dimension}" is not allowed.'
            self._add([_of_value(Problem(text, None, "FixedImageDimension", "Allowed: 2 or 3."))])
            return self._report((), 0)

        labels = impact_labels(self.parameters)
        if not labels:
            found = " ".join(f'"{m}"' for m in self.parameters.get("Metric", [])) or "nothing"
            text = (
                f'the map has {found} for a metric, so that the parameters of "Impact" do nothing.'
            )
            remedy = 'Give (Metric "Impact").'
            self._add([finding("error", "metric", "Metric", text, remedy)])
        self._add(map_checks.check_components(self.parameters))
        self._add(map_checks.check_pyramids(self.parameters, levels, dimension))
        usable = images if all(i.dimension == dimension for i in images.values()) else {}
        self._add(map_checks.check_thinness(self.parameters, usable, levels))
        models = _networks.ModelRepository()
        available = _core.available_memory()
        memory: list[LevelMemory] = []
        for label in labels or ["Metric0"]:
            settings, findings = _core.parse_settings(self.parameters, levels, dimension, label)
            self._add(_of_core(findings, "parameter"))
            is_right = not any(each.is_error for each in findings)
            has_jacobian = any(level.mode == "Jacobian" for level in settings)
            self._add(map_checks.check_samples(self.parameters, has_jacobian))
            for number, level in enumerate(settings):
                check = _networks.check_level(
                    level,
                    is_right,
                    core_grid(usable["fixed"]) if usable else None,
                    core_grid(usable["moving"]) if usable else None,
                    map_checks.number_of_samples(self.parameters, number, usable.get("fixed")),
                    models,
                    threads,
                )
                self._add(_of_core(check.findings, "model"))
                if is_right:
                    last = number + 1 == levels
                    spacing = map_checks.grid_spacing(self.parameters, number, levels)
                    self._add(
                        map_checks.check_control_points(
                            spacing, number, usable.get("fixed"), available
                        )
                    )
                    wanted = accuracy if last else None
                    self._add(level_checks.check_patches(level, number, check))
                    self._add(level_checks.check_extent(level, number, check))
                    self._add(level_checks.check_fineness(level, number, check, spacing, wanted))
                    self._add(level_checks.check_memory(level, number, check, available))
                is_known = is_right and check.models and check.bytes > 0
                memory.append(
                    LevelMemory(
                        number,
                        level.mode,
                        _devices.name_of(level.gpu),
                        int(check.bytes) if is_known else None,
                    )
                )
            self._add(map_checks.check_intensities(settings, usable))
        return self._report(tuple(memory), available)

    def _images(self, fixed: Image | None, moving: Image | None) -> dict[str, ImageHeader]:
        images = {}
        for side, image in (("fixed", fixed), ("moving", moving)):
            if image is None:
                continue
            try:
                if not isinstance(image, ImageHeader):
                    image = ImageHeader.read(image, self.channel)
                images[side] = image
            except ImageError as error:
                self._add([finding("error", "image", "", f"the {side} image {error}", "")])
        return images if len(images) == 2 else {}

    def _add(self, findings: Iterable[Finding]) -> None:
        """Add findings, or the levels of one to the same one of other levels."""
        for new in findings:
            if new.line is None and self.file is not None and new.parameter:
                new = replace(new, line=self.file.line_of(new.parameter))
            for i, known in enumerate(self.findings):
                if replace(known, levels=new.levels) == new:
                    levels = tuple(dict.fromkeys((*known.levels, *new.levels)))
                    self.findings[i] = replace(known, levels=levels)
                    break
            else:
                self.findings.append(new)

    def _report(self, memory: tuple[LevelMemory, ...], available: int) -> Report:
        last = float("inf")
        findings = sorted(self.findings, key=lambda f: (f.line or last, f.severity))
        source = self.file.source if self.file else ""
        return Report(source, tuple(findings), memory, available)


def _of_value(problem: Problem) -> Finding:
    return Finding(
        "error", "parameter", problem.parameter, None, (), problem.text, problem.remedy, "value"
    )


def _of_core(findings: Iterable[_core.Finding], code: str) -> Iterator[Finding]:
    for each in findings:
        remedy = each.remedy
        if each.kind == "missing-file":
            remedy = remedy_of(each.path) or remedy
        if not remedy and not each.is_error:
            remedy = "Remove it, or correct it."
        yield Finding(
            "error" if each.is_error else "warning",
            code,
            each.parameter,
            None,
            tuple(each.levels),
            each.text,
            remedy,
            each.kind,
            each.path,
        )
