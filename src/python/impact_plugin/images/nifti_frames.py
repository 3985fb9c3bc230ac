"""Where the header of a NIfTI file says that its voxels lie: by ITK's rule, for everybody here.

A header may give two affines, the qform and the sform, and units other than mm. elastix reads files
by ITK, which takes mm, and the qform unless the sform alone is there or is of the scanner (code 1);
nibabel takes no notice of the units, and takes the sform wherever there is one. Nothing but the
standard library is imported: ``impact-elastix`` starts at once.
"""

from __future__ import annotations

import itertools
import math
import struct
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from impact_plugin.images.whole.damage import Damage, opened, read

Rows: TypeAlias = tuple[tuple[float, float, float, float], ...]
"""Three rows of an affine from voxel indices (x, y, z, 1) to mm in RAS."""

ENDINGS = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")

_MM = {1: 1000.0, 3: 0.001}  # of metres and micrometres; of no unit ITK takes mm, too
_SCANNER = 1  # the sform_code of scanner coordinates
_NOTICED = 0.01  # of the least distance of voxels


class FrameWarning(UserWarning):
    """A header that says two things of where the voxels lie; the message has their distance."""


@dataclass(frozen=True)
class Frames:
    """What a header says.

    Args:
        size: Voxels along x, y, z.
        steps: Their distance along these, in the header's unit.
        unit: mm that this is.
        qform: The qform, mm, None where its code is 0.
        sform: The sform, mm, None where its code is 0.
        scanner: Whether the sform is of the scanner.
    """

    size: tuple[int, int, int]
    steps: tuple[float, float, float]
    unit: float
    qform: Rows | None
    sform: Rows | None
    scanner: bool

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Frames:
        """Take them from the header's fields, by their names in nifti1.h.

        Args:
            fields: Such as a header of nibabel.
        """
        dim = [int(n) for n in fields["dim"]]
        pixdim = [float(step) for step in fields["pixdim"]]
        unit = _MM.get(int(fields["xyzt_units"]) & 7, 1.0)
        sizes = [*(max(1, n) for n in dim[1 : max(0, dim[0]) + 1]), 1, 1, 1]
        sform = [[float(value) for value in fields[f"srow_{axis}"]] for axis in "xyz"]
        # as nifti_io.c, which ITK reads with, has it
        steps = [abs(step) or 1.0 for step in pixdim[1:4]]
        qform = _qform(fields, steps, pixdim[0])
        return cls(
            (sizes[0], sizes[1], sizes[2]),
            (steps[0], steps[1], steps[2]),
            unit,
            _times(unit, qform) if int(fields["qform_code"]) > 0 else None,
            _times(unit, sform) if int(fields["sform_code"]) > 0 else None,
            int(fields["sform_code"]) == _SCANNER,
        )

    @classmethod
    def read(cls, path: Path) -> Frames | None:
        """Read them from a file; None where it is no NIfTI file or is damaged."""
        name = path.name.lower()
        if not name.endswith(ENDINGS):
            return None
        for ending, other in ((".img", ".hdr"), (".img.gz", ".hdr.gz")):
            if name.endswith(ending):
                path = path.with_name(path.name[: -len(ending)] + other)
        try:
            with opened(path) as file:
                header = read(file, 540)
        except (OSError, Damage):
            return None
        fields = _fields(header)
        return None if fields is None else cls.of(fields)

    @property
    def chosen(self) -> Literal["qform", "sform", ""]:
        """Which of the two ITK takes; "" where there is none."""
        if self.sform is None or self.qform is None:
            return "sform" if self.sform else "qform" if self.qform else ""
        return "sform" if self.scanner and self._is_rigid() else "qform"

    @property
    def affine(self) -> Rows:
        """From voxel indices to mm in RAS, as ITK has it."""
        if self.chosen == "sform" and self.sform is not None:
            return self._with_steps(self.sform)
        if self.qform is not None:
            return self.qform
        x, y, z = (step * self.unit for step in self.steps)  # in LPS the identity
        return ((-x, 0.0, 0.0, 0.0), (0.0, -y, 0.0, 0.0), (0.0, 0.0, z, 0.0))

    def disagreement(self) -> float:
        """Give the distance, mm, of the two places of the corner for which it is the largest.

        That of ITK's affine and the other one; 0 where there is one, or they agree.
        """
        given = [each for each in (self.qform, self.sform) if each is not None]
        distance = max((self.distance(self.affine, each) for each in given), default=0.0)
        return distance if distance > _NOTICED * self.unit * min(self.steps) else 0.0

    def distance(self, ours: Rows, theirs: Rows) -> float:
        """Give the largest distance, mm, of a corner's places by two affines."""
        apart = [
            [a - b for a, b in zip(*rows, strict=True)] for rows in zip(ours, theirs, strict=True)
        ]
        corners = itertools.product(*((0, n - 1) for n in self.size))
        return max(
            math.hypot(*(sum(map(float.__mul__, row, map(float, (*c, 1)))) for row in apart))
            for c in corners
        )

    def doubt(self) -> str:
        """Say that the header's affines disagree, "" where they do not."""
        distance = self.disagreement()
        if not distance:
            return ""
        if self.qform and self.sform:
            said = f"the qform and the sform of its header put it up to {distance:.4g} mm apart"
            taken = str(self.chosen)
        else:
            said = f"the sform and the pixdim of its header put it up to {distance:.4g} mm apart"
            taken = "pixdim"
        return (
            f"{said}. The {taken} is taken, as elastix does (nibabel takes the sform). Correct the "
            "header, so that both say where the image lies"
        )

    def _is_rigid(self) -> bool:
        """Tell whether the sform has axes at right angles, and the steps of pixdim."""
        assert self.sform is not None
        columns = list(zip(*self.sform, strict=True))[:3]
        lengths = [math.hypot(*column) for column in columns]
        steps = [step * self.unit for step in self.steps]
        return all(
            math.isclose(length, step, rel_tol=1e-3)
            for length, step in zip(lengths, steps, strict=True)
        ) and all(
            abs(sum(map(float.__mul__, columns[i], columns[j]))) < 1e-3 * lengths[i] * lengths[j]
            for i, j in ((0, 1), (0, 2), (1, 2))
        )

    def _with_steps(self, rows: Rows) -> Rows:
        """Give an affine the steps of pixdim along its axes."""
        lengths = [math.hypot(*column) for column in list(zip(*rows, strict=True))[:3]]
        x, y, z = (
            step * self.unit / length if length else 0.0
            for step, length in zip(self.steps, lengths, strict=True)
        )
        return tuple((a * x, b * y, c * z, place) for a, b, c, place in rows)


def warn(frames: Frames | None, name: str) -> None:
    """Warn where a header's affines disagree.

    Warns:
        FrameWarning: With the distance.
    """
    if frames is not None and (said := frames.doubt()):
        doubt(f"{name}: {said}")


def doubt(message: str) -> None:
    """Warn of where an image lies, in the line that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("impact_plugin."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, FrameWarning, stacklevel=level)


def _times(unit: float, rows: list[list[float]]) -> Rows:
    return tuple((a * unit, b * unit, c * unit, d * unit) for a, b, c, d in rows)


def _qform(fields: Mapping[str, Any], steps: list[float], first: float) -> list[list[float]]:
    """Make the qform's matrix of its quaternion; see nifti1.h, METHOD 2."""
    b, c, d = (float(fields[f"quatern_{each}"]) for each in "bcd")
    a = 1 - (b * b + c * c + d * d)
    if a < 1e-7:  # half a turn
        length = math.sqrt(b * b + c * c + d * d)
        a, b, c, d = 0.0, b / length, c / length, d / length
    else:
        a = math.sqrt(a)
    x, y, z = steps
    z = -z if first < 0 else z
    rows = (
        (a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c),
    )
    return [
        [i * x, j * y, k * z, float(fields[f"qoffset_{axis}"])]
        for (i, j, k), axis in zip(rows, "xyz", strict=True)
    ]


def _fields(header: bytes) -> dict[str, Any] | None:
    """Read the fields of a NIfTI-1 or NIfTI-2 header; None of another."""
    for order in "<>":
        (length,) = struct.unpack_from(order + "i", header) if len(header) >= 348 else (0,)
        if length == 348 and header[344:347] in (b"n+1", b"ni1"):
            places = {"dim": ("8h", 40), "pixdim": ("8f", 76), "xyzt_units": ("B", 123)}
            code, number, at = "h", "f", (252, 254, 256, 268, 280)
        elif length == 540 and len(header) == 540:
            places = {"dim": ("8q", 16), "pixdim": ("8d", 104), "xyzt_units": ("i", 500)}
            code, number, at = "i", "d", (344, 348, 352, 376, 400)
        else:
            continue
        width = struct.calcsize(number)
        places |= {"qform_code": (code, at[0]), "sform_code": (code, at[1])}
        for n, (axis, part) in enumerate(zip("xyz", "bcd", strict=True)):
            places[f"quatern_{part}"] = (number, at[2] + n * width)
            places[f"qoffset_{axis}"] = (number, at[3] + n * width)
            places[f"srow_{axis}"] = (f"4{number}", at[4] + 4 * n * width)
        fields = {
            name: struct.unpack_from(order + kind, header, place)
            for name, (kind, place) in places.items()
        }
        return {name: found if len(found) > 1 else found[0] for name, found in fields.items()}
    return None
