"""Where the header of a NIfTI file says that its voxels lie: by ITK's rule, for everybody here.

A header may give two affines, the qform and the sform, and units other than mm. elastix reads files
by ITK, which takes mm and, where the two disagree, mostly the qform, sometimes the sform: which of
them hangs on the rounding of a decomposition in single precision, so ITK itself is asked, of a file
with this header and few voxels. nibabel takes no notice of the units, and takes the sform wherever
there is one. For other headers nothing but the standard library is imported: ``impact-elastix``
starts at once.
"""

from __future__ import annotations

import itertools
import math
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from impact_plugin.images.errors import notice
from impact_plugin.images.files import read_header
from impact_plugin.images.integrity.damage import Damage, opened, read
from impact_plugin.images.integrity.nifti import ENDINGS

Rows: TypeAlias = tuple[tuple[float, float, float, float], ...]
"""Three rows of an affine from voxel indices (x, y, z, 1) to mm in RAS."""

_MM = {1: 1000.0, 3: 0.001}  # of metres and micrometres; of no unit ITK takes mm, too
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
        asked: The header as ITK is asked about it, a NIfTI-1 header of 2 x 2 x 2 voxels.
    """

    size: tuple[int, int, int]
    steps: tuple[float, float, float]
    unit: float
    qform: Rows | None
    sform: Rows | None
    asked: bytes = b""

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
            _packed(fields, steps),
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
        apart = self.distance(self.qform, self._with_steps(self.sform))
        if apart < 1e-6 * self.unit * min(self.steps):
            return "qform"
        itks = _rows_of_itk(self.asked)
        if itks is None:
            return "qform"
        by_qform, by_sform = (
            self.distance(itks, rows) for rows in (self.qform, self._with_steps(self.sform))
        )
        return "sform" if by_sform < by_qform else "qform"

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
        notice(f"{name}: {said}", FrameWarning)


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


@lru_cache
def _rows_of_itk(header: bytes) -> Rows | None:
    """Ask ITK for the affine, mm in RAS, of a file with a header; None where it reads none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "i.nii")
        path.write_bytes(header + bytes(4 + 8))  # no extensions, 8 voxels of a byte
        try:
            reader = read_header(path)
        except RuntimeError:
            return None
    lps, steps, origin = reader.GetDirection(), reader.GetSpacing(), reader.GetOrigin()
    x, y, z = ((*(lps[3 * row + n] * steps[n] for n in range(3)), origin[row]) for row in range(3))
    return ((-x[0], -x[1], -x[2], -x[3]), (-y[0], -y[1], -y[2], -y[3]), (z[0], z[1], z[2], z[3]))


def _packed(fields: Mapping[str, Any], steps: list[float]) -> bytes:
    """Give the NIfTI-1 header of 2 x 2 x 2 voxels that lie as a header's fields say.

    Empty where single precision has no such numbers.
    """
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<2h", header, 70, 2, 8)  # bytes without a sign
    struct.pack_into("<f", header, 108, 352)
    header[344:347] = b"n+1"
    shown = {
        **fields,
        "dim": (3, 2, 2, 2, 1, 1, 1, 1),
        "pixdim": (float(fields["pixdim"][0]), *steps, 1, 1, 1, 1),
        "xyzt_units": int(fields["xyzt_units"]) & 7,
    }
    try:
        for name, (kind, place) in _places("f").items():
            value = shown[name]
            values = value if kind[0].isdigit() else [value]
            numbers = [int(each) if kind[-1] in "hB" else float(each) for each in values]
            struct.pack_into("<" + kind, header, place, *numbers)
    except (OverflowError, struct.error):
        return b""
    return bytes(header)


def _places(number: str) -> dict[str, tuple[str, int]]:
    """Give the type and the place of each field in a NIfTI-1 or NIfTI-2 header.

    Args:
        number: The type of its numbers, "f" in the first, "d" in the second.
    """
    if number == "f":
        places = {"dim": ("8h", 40), "pixdim": ("8f", 76), "xyzt_units": ("B", 123)}
        at = (252, 254, 256, 268, 280)
    else:
        places = {"dim": ("8q", 16), "pixdim": ("8d", 104), "xyzt_units": ("i", 500)}
        at = (344, 348, 352, 376, 400)
    width, code = struct.calcsize(number), "h" if number == "f" else "i"
    places |= {"qform_code": (code, at[0]), "sform_code": (code, at[1])}
    for n, (axis, part) in enumerate(zip("xyz", "bcd", strict=True)):
        places[f"quatern_{part}"] = (number, at[2] + n * width)
        places[f"qoffset_{axis}"] = (number, at[3] + n * width)
        places[f"srow_{axis}"] = (f"4{number}", at[4] + 4 * n * width)
    return places


def _fields(header: bytes) -> dict[str, Any] | None:
    """Read the fields of a NIfTI-1 or NIfTI-2 header; None of another."""
    for order in "<>":
        (length,) = struct.unpack_from(order + "i", header) if len(header) >= 348 else (0,)
        if length == 348 and header[344:347] in (b"n+1", b"ni1"):
            places = _places("f")
        elif length == 540 and len(header) == 540:
            places = _places("d")
        else:
            continue
        fields = {
            name: struct.unpack_from(order + kind, header, place)
            for name, (kind, place) in places.items()
        }
        return {name: found if len(found) > 1 else found[0] for name, found in fields.items()}
    return None
