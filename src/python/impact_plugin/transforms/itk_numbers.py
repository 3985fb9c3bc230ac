"""The numbers in ITK's transform files, which ITK itself takes without counting them.

Of too few it reads what lies behind them in memory, and of some that are not finite it ends the
process; so they are looked at before ITK gets the file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.transforms import hdf5_numbers

_Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]
HDF5 = (".h5", ".hdf", ".hdf5", ".he5")

_KIND = re.compile(r"(\w+?)_(?:double|float)_([23])_[23](?:_\d+)?")
_COUNTS = {
    "CenteredEuler3DTransform": 9,
    "CenteredRigid2DTransform": 5,
    "CenteredSimilarity2DTransform": 6,
    "ComposeScaleSkewVersor3DTransform": 12,
    "Euler2DTransform": 3,
    "Euler3DTransform": 6,
    "QuaternionRigidTransform": 7,
    "Rigid2DTransform": 3,
    "ScaleSkewVersor3DTransform": 15,
    "ScaleVersor3DTransform": 9,
    "Similarity2DTransform": 4,
    "Similarity3DTransform": 7,
    "VersorRigid3DTransform": 6,
    "VersorTransform": 3,
}
_VECTORS = ("TranslationTransform", "ScaleTransform", "ScaleLogarithmicTransform")
_MATRICES = ("AffineTransform", "MatrixOffsetTransformBase")
_GRIDS = ("BSplineTransform", "DisplacementFieldTransform")
_HEADER = 20
"""Bytes before the name and the numbers of each matrix of MATLAB's version 4."""


def check(path: Path, name: str) -> None:
    """Check that each transform of a file has as many numbers as it should, all of them finite.

    Args:
        path: The file: .tfm or .txt as ITK writes them, .mat or .h5. Others are not looked at.
        name: What messages call it.

    Raises:
        ValueError: One has not.
    """
    found: Iterator[tuple[str, _Numbers, _Numbers]]
    if path.suffix == ".mat":
        found = _of_matlab(path.read_bytes())
    elif path.suffix in HDF5:
        found = hdf5_numbers.read(path)
    elif path.suffix in (".tfm", ".txt"):
        found = _of_text(path.read_text(encoding="utf-8", errors="replace"))
    else:
        return
    for kind, parameters, fixed in found:
        where = f"{name}: the {kind.partition('_')[0]} in {str(path)!r}"
        for what, numbers in (("parameters", parameters), ("fixed parameters", fixed)):
            if not np.isfinite(numbers).all():
                message = (
                    f"{where} has {what} that are not finite numbers: "
                    f"{' '.join(f'{value:g}' for value in numbers[:12])}"
                )
                raise InputError(message)
        for what, values, expected in _counted(kind, parameters, fixed):
            if len(values) != expected:
                message = (
                    f"{where} has {len(values)} {what}, expected {expected}. The file was cut, or "
                    "changed by hand"
                )
                raise InputError(message)


def _counted(
    kind: str, parameters: _Numbers, fixed: _Numbers
) -> Iterator[tuple[str, _Numbers, int]]:
    """Give what is counted of a transform, and how many there should be."""
    match = _KIND.fullmatch(kind)
    if match is None:
        return
    name, d = match[1], int(match[2])
    if name in _GRIDS:
        yield "fixed parameters", fixed, d * (d + 3)
        yield "parameters", parameters, d * math.prod(int(n) for n in fixed[:d])
    elif name in _VECTORS:
        yield "parameters", parameters, d
    elif name in _MATRICES:
        yield "parameters", parameters, d * (d + 1)
    elif name in _COUNTS:
        yield "parameters", parameters, _COUNTS[name]


def _of_text(text: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """Give each transform of a text: its kind, its parameters and its fixed parameters."""
    for part in re.split(r"^\s*Transform:", text, flags=re.MULTILINE)[1:]:
        kind = part.partition("\n")[0].strip()
        found = dict(re.findall(r"^\s*(Parameters|FixedParameters):(.*)$", part, re.MULTILINE))
        if found:  # a composition has none
            yield (
                kind,
                [_number(each) for each in found.get("Parameters", "").split()],
                [_number(each) for each in found.get("FixedParameters", "").split()],
            )


def _of_matlab(content: bytes) -> Iterator[tuple[str, list[float], list[float]]]:
    """Give the same of a MATLAB file of version 4: parameters by the kind's name, then "fixed"."""
    arrays: list[tuple[str, list[float]]] = []
    place = 0
    while place + _HEADER <= len(content):
        kind, rows, columns, _, length = struct.unpack_from("<5i", content, place)
        letter, bytes_each = ("d", 8) if kind == 0 else ("f", 4)
        start = place + _HEADER + length
        end = start + rows * columns * bytes_each
        if kind not in (0, 10) or length < 1 or end > len(content) or end < start:
            return  # of another machine, or damaged: ITK says so
        name = content[place + _HEADER : start].rstrip(b"\0").decode("latin-1")
        numbers = struct.unpack_from(f"<{rows * columns}{letter}", content, start)
        arrays.append((name, list(numbers)))
        place = end
    for (kind_name, parameters), (_, fixed) in zip(arrays[::2], arrays[1::2], strict=False):
        yield kind_name, parameters, fixed


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
