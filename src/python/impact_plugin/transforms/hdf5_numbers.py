"""The numbers in ITK's transform files of HDF5 (.h5), read without ITK.

As ITK writes them: a group for each transform in ``TransformGroup``, with datasets of its type, its
parameters and its fixed parameters, not compressed. See the HDF5 File Format Specification, whose
names are used here. Of files that are written in another way, and of compositions of more than
eight, whose groups are, nothing is told.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_MOST = 100_000
"""Pieces that are read of a file: one whose addresses go in circles has an end."""

# Types of messages in the header of an object.
_SPACE, _TYPE, _LINK, _LAYOUT, _CONTINUATION, _SYMBOLS = 0x01, 0x03, 0x06, 0x08, 0x10, 0x11


def read(path: Path) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Give the kind of each transform, its parameters and its fixed parameters."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            hdf5 = _Hdf5(data)
            groups = hdf5.links(hdf5.links(hdf5.root).get("TransformGroup", 0))
            for group in groups.values():
                parts = hdf5.links(group)
                if "TransformParameters" in parts:  # a composition has none
                    kind = hdf5.text(parts["TransformType"])
                    fixed = parts.get("TransformFixedParameters")
                    yield (
                        kind,
                        hdf5.numbers(parts["TransformParameters"]),
                        np.empty(0) if fixed is None else hdf5.numbers(fixed),
                    )
    except (struct.error, ArithmeticError, LookupError, ValueError):
        return  # damaged, or in another way: ITK says so


class _Hdf5:
    """The objects of a file, by their addresses."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._steps = 0
        self.root = 0
        if data[:8] == b"\x89HDF\r\n\x1a\n" and data[8] in (0, 2, 3):
            # Addresses of 8 bytes, as everybody has them; in version 0 the root is a symbol.
            (self.root,) = struct.unpack_from("<Q", data, 64 if data[8] == 0 else 36)

    def links(self, group: int) -> dict[str, int]:
        """Give the objects of a group by their names."""
        found = {}
        for kind, at, _ in self._messages(group):
            if kind == _LINK:
                name, target = self._link(at)
                found[name] = target
            elif kind == _SYMBOLS:
                tree, heap = struct.unpack_from("<QQ", self._data, at)
                (names,) = struct.unpack_from("<Q", self._data, heap + 24)
                found |= self._symbols(tree, names)
        return found

    def numbers(self, dataset: int) -> Numbers:
        """Give the numbers of a dataset."""
        size, dimensions, place, each = self._stored(dataset)
        count = math.prod(dimensions)
        if each not in (4, 8) or count * each > size or place + size > len(self._data):
            raise ValueError
        kind = "<f8" if each == 8 else "<f4"
        return np.frombuffer(self._data, kind, count, place).astype(np.float64)

    def text(self, dataset: int) -> str:
        """Give the text of a dataset, of its own length or in the heap of the file."""
        size, _, place, each = self._stored(dataset)
        found = self._data[place : place + size]
        if each == 16:
            length, heap, wanted = struct.unpack("<IQI", found)
            at, index, size = heap, -1, 0
            while index != wanted:
                self._step()
                at += 16 + (size + 7) // 8 * 8
                index, _, _, size = struct.unpack_from("<HHIQ", self._data, at)
            found = self._data[at + 16 : at + 16 + length]
        return found.rstrip(b"\0 ").decode("latin-1")

    def _stored(self, dataset: int) -> tuple[int, tuple[int, ...], int, int]:
        """Give bytes and dimensions of a dataset, where it is, and the bytes of each element."""
        data = self._data
        dimensions: tuple[int, ...] = ()
        size = place = each = 0
        for kind, at, _ in self._messages(dataset):
            if kind == _SPACE:
                first = at + (8 if data[at] == 1 else 4)
                dimensions = struct.unpack_from(f"<{data[at + 1]}Q", data, first)
            elif kind == _TYPE:
                (each,) = struct.unpack_from("<I", data, at + 4)
            elif kind == _LAYOUT and data[at] == 3 and data[at + 1] == 1:  # in one piece
                place, size = struct.unpack_from("<QQ", data, at + 2)
            elif kind == _LAYOUT and data[at] == 3 and data[at + 1] == 0:  # here
                (size,) = struct.unpack_from("<H", data, at + 2)
                place = at + 4
        if not place:
            raise ValueError
        return size, dimensions, place, each

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Give the messages of an object: type, place and size of each."""
        data = self._data
        if not address:
            return
        is_new = data[address : address + 4] == b"OHDR"
        if is_new:
            flags = data[address + 5]
            at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            blocks = [(at + width, int.from_bytes(data[at : at + width], "little"))]
            front = 4 + (2 if flags & 4 else 0)
        else:
            (length,) = struct.unpack_from("<I", data, address + 8)
            blocks, front = [(address + 16, length)], 8
        while blocks:
            at, left = blocks.pop(0)
            while left >= front:
                self._step()
                kind, size = struct.unpack_from("<BH" if is_new else "<HH", data, at)
                place = at + front
                if kind == _CONTINUATION:
                    start, length = struct.unpack_from("<QQ", data, place)
                    # New ones have a signature in front and a checksum behind.
                    blocks.append((start + 4, length - 8) if is_new else (start, length))
                else:
                    yield kind, place, size
                at, left = place + size, left - front - size

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MOST:
            raise ValueError

    def _link(self, at: int) -> tuple[str, int]:
        data, flags = self._data, self._data[at + 1]
        at += 2 + bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
        width = 1 << (flags & 3)
        length = int.from_bytes(data[at : at + width], "little")
        at += width
        (target,) = struct.unpack_from("<Q", data, at + length)
        return data[at : at + length].decode("latin-1"), target

    def _symbols(self, tree: int, names: int) -> dict[str, int]:
        """Give the objects of a group of an older file, from its B-tree."""
        data, found, nodes = self._data, dict[str, int](), [tree]
        while nodes:
            self._step()
            node = nodes.pop()
            if data[node : node + 4] == b"TREE":
                (number,) = struct.unpack_from("<H", data, node + 6)
                nodes += [
                    struct.unpack_from("<Q", data, node + 32 + 16 * k)[0] for k in range(number)
                ]
                continue
            (number,) = struct.unpack_from("<H", data, node + 6)
            for k in range(number):
                name, target = struct.unpack_from("<QQ", data, node + 8 + 40 * k)
                end = data.find(b"\0", names + name)
                found[data[names + name : end].decode("latin-1")] = target
        return found
