"""NIfTI files, of which ITK's reader takes zeros for what is missing."""

from __future__ import annotations

import os
import struct
from math import prod
from pathlib import Path

from impact_plugin.images.integrity.damage import Damage, length_of, opened, read, require

ENDINGS = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")
_MORE = 4096  # bytes that may follow the voxels of a compressed file


def check(path: Path) -> None:
    """Check a NIfTI file.

    See https://nifti.nimh.nih.gov: nifti1.h and nifti2.h, for the places in the header.

    Raises:
        Damage: It is not whole.
        OSError: It cannot be read.
    """
    header_of, voxels_in = path, path
    for ending, other in ((".hdr", ".img"), (".hdr.gz", ".img.gz")):
        if path.name.lower().endswith((ending, other)):
            stem = path.name[: -len(ending)]
            header_of, voxels_in = path.with_name(stem + ending), path.with_name(stem + other)
    if not (header_of.is_file() and voxels_in.is_file()):
        return  # the reader says so
    with opened(header_of) as file:
        header = read(file, 540)
    if len(header) < 348:
        message = f"its header has {len(header)} bytes of 348"
        raise Damage(message)
    needed = _bytes_of_nifti(header)
    if needed is None:
        return
    if not voxels_in.name.lower().endswith(".gz"):
        require(voxels_in.stat().st_size, needed)
        return
    # The last four bytes of a gzip stream are its length, modulo 2**32.
    with voxels_in.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        (said,) = struct.unpack("<I", file.read(4))
    if 0 <= (said - needed) % 2**32 <= _MORE:
        return
    require(length_of(voxels_in), needed)


def _bytes_of_nifti(header: bytes) -> int | None:
    """Give the bytes up to the end of the voxels; None of a header of another kind."""
    for order in "<>":
        (length,) = struct.unpack_from(order + "i", header)
        if length == 348:
            dimensions = struct.unpack_from(order + "8h", header, 40)
            (bits,) = struct.unpack_from(order + "h", header, 72)
            (offset,) = struct.unpack_from(order + "f", header, 108)
        elif length == 540 and len(header) == 540:
            dimensions = struct.unpack_from(order + "8q", header, 16)
            (bits,) = struct.unpack_from(order + "h", header, 14)
            (offset,) = struct.unpack_from(order + "q", header, 168)
        else:
            continue
        number, *sizes = dimensions
        if 1 <= number <= 7 and bits > 0 and 0 <= offset < 2**40:
            voxels: int = prod(max(1, size) for size in sizes[:number])
            return int(offset) + voxels * int(bits) // 8
    return None
