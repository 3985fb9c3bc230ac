"""What a TorchScript file says of itself, read without running anything in it.

A TorchScript file is a program. It runs when its ``forward`` is called, and already when it is
opened where a class in it has a ``__setstate__``. Here the file is read as what it is, a zip
archive of source code (in the syntax of Python), of a pickle and of the weights: the code is
parsed and never run, the pickle is walked with classes that do nothing, and torch is not needed.
"""

from __future__ import annotations

import ast
import io
import pickle
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin.models.files import sha256

_ADVICE = (
    "Give a TorchScript file (torch.jit.save). impact_plugin.models.export() makes one of a torch "
    "module, impact_plugin.models.mind() and download() write or fetch others."
)
# torch's names of storages, which name the type of their elements.
_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
}
_LONGEST_TEXT = 64_000_000
# The only operators of torch's own that touch files, processes or the network.
_OUTSIDE = frozenset(
    {"aten::save", "aten::from_file", "prim::rpc_async", "prim::rpc_sync", "prim::rpc_remote"}
)
_OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized", "mkldnn"})


class ModelFileError(InputError):
    """A file that is no TorchScript model, or a damaged one."""


@dataclass(frozen=True)
class Archive:
    """What a TorchScript file says of itself.

    Args:
        signature: ``forward`` as the file has it, without ``self``.
        operators: How often each operator is written in the code, by its name (``aten::conv3d``),
            in alphabetical order. Torch's own are in ``aten`` and ``prim``.
        runs_on_load: Classes whose code runs as soon as the file is opened.
        weights: Number of weights and other numbers stored, by their type (``float32``).
        input_channels: Channels of the input of the convolution that is stored first, or None.
    """

    signature: str
    operators: dict[str, int]
    runs_on_load: tuple[str, ...]
    weights: dict[str, int]
    input_channels: int | None

    @property
    def outside(self) -> tuple[str, ...]:
        """Give the operators that can touch more than tensors: files, the network, extensions."""
        return tuple(
            name
            for name in self.operators
            if name in _OUTSIDE or name.partition("::")[0] not in _OWN_NAMESPACES
        )


def read_archive(path: Path) -> Archive:
    """Read a TorchScript file without running anything in it.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no TorchScript file, or is damaged.
    """
    with _opened(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            message = (
                f'Model file "{path}" is damaged: {damaged} in it has changed. Fetch it again.'
            )
            raise ModelFileError(message)
        names = archive.namelist()
        sources = [name for name in names if "/code/" in name and name.endswith(".py")]
        pickled = _weights_of(names)
        constants = pickled.removesuffix("data.pkl") + "constants.pkl"
        for name in (*sources, constants, pickled):
            _require_readable(path, archive.getinfo(name))
        code = {name.partition("/code/")[2]: archive.read(name).decode() for name in sources}
        _Stored.of(archive, constants).load()  # whether they are whole
        stored = _Stored.of(archive, pickled)
        root = stored.load()

    classes = dict(_classes(path, code))
    name = getattr(type(root), "qualified_name", "")
    forward = _method(classes.get(name), "forward")
    if forward is None:
        message = f'Model file "{path}" has no forward(). {_ADVICE}'
        raise ModelFileError(message)
    operators = Counter(name for source in code.values() for name in _operators(ast.parse(source)))
    return Archive(
        signature=_signature(forward),
        operators=dict(sorted(operators.items())),
        runs_on_load=tuple(
            name for name, body in classes.items() if _method(body, "__setstate__") is not None
        ),
        weights=dict(stored.weights),
        input_channels=stored.kernels[0][1] if stored.kernels else None,
    )


def stored_kernels(path: Path) -> tuple[tuple[int, ...], ...]:
    """Give the shapes of the weights of convolutions that a file holds; of a large one, soon.

    Returns:
        Shapes with 4 axes (2D) and 5 (3D): output channels, input channels (of a group), then the
        kernel's size. Of transposed convolutions the first two are the other way round.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no TorchScript file, or is damaged where it was read.
    """
    with _opened(path) as archive:
        pickled = _weights_of(archive.namelist())
        _require_readable(path, archive.getinfo(pickled))
        stored = _Stored.of(archive, pickled)
        stored.load()
    return tuple(stored.kernels)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give a file's archive, and make a ModelFileError of whatever reading in it raises."""
    _require_zip(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _require_torchscript(path, archive.namelist())
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        message = (
            f'Model file "{path}" is damaged, perhaps cut off: {error}. It has '
            f"{path.stat().st_size} bytes. Fetch it again."
        )
        raise ModelFileError(message) from error
    except ModelFileError:
        raise
    except Exception as error:  # of a file that anybody may have written
        message = f'Model file "{path}" cannot be read: {error}. {_ADVICE}'
        raise ModelFileError(message) from error


def _weights_of(names: list[str]) -> str:
    return next(name for name in names if name.endswith("/data.pkl"))


def file_facts(path: Path) -> tuple[int, str]:
    """Give the size of a file in bytes and its SHA-256."""
    return path.stat().st_size, sha256(path)


def _require_readable(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a text that would fill the memory; that of large networks has some megabytes."""
    if info.file_size > _LONGEST_TEXT:
        message = (
            f'Model file "{path}": {info.filename} in it has {info.file_size} bytes, of which at '
            f"most {_LONGEST_TEXT} are read. No network needs that many: where is it from?"
        )
        raise ModelFileError(message)


def _require_zip(path: Path) -> None:
    """Tell apart what people take for a model file."""
    if not path.exists():
        message = f'Model file "{path}" does not exist. {_ADVICE}'
        raise MissingFileError(message)
    if path.is_dir():
        message = f'"{path}" is a folder. {_ADVICE}'
        raise ModelFileError(message)
    if not path.is_file():  # reading it may never end
        message = f'"{path}" is a pipe or a device, and no file. {_ADVICE}'
        raise ModelFileError(message)
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"PK"):
        return
    what = "is not a TorchScript file"
    if not start:
        what = "is empty"
    elif start.startswith(b"version https://git-lfs"):
        what = (
            "is only a pointer to a file in git LFS; fetch the file itself (git lfs pull, or "
            "impact_plugin.models.download())"
        )
    elif start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        what = "is a web page; fetch the file itself (impact_plugin.models.download())"
    elif start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04")):
        what = "holds pickled Python objects, perhaps weights alone (torch.save)"
    message = f'Model file "{path}" {what}. {_ADVICE}'
    raise ModelFileError(message)


def _require_torchscript(path: Path, names: list[str]) -> None:
    if any("/code/" in name for name in names) and any(n.endswith("/data.pkl") for n in names):
        return
    if any(name.endswith("/data.pkl") for name in names):
        what = _what_torch_saved(path)
    elif any(
        name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names
    ):
        what = "is a program of torch.export"
    else:
        what = "is a zip archive, and not a TorchScript file"
    message = f'Model file "{path}" {what}. {_ADVICE}'
    raise ModelFileError(message)


def _what_torch_saved(path: Path) -> str:
    """Tell a state_dict from a whole module, by the names in its pickle; nothing is run."""
    with zipfile.ZipFile(path) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        names = _Stored(io.BytesIO(archive.read(pickled)))
        try:
            root = names.load()
        except Exception:  # of a file that anybody may have written
            return "holds pickled Python objects (torch.save)"
    name = getattr(type(root), "qualified_name", "")
    if name in ("", "collections.OrderedDict"):
        return "holds weights alone (torch.save)"
    return (
        f"is a whole Python object, {name} (torch.save), and no program: its code is elsewhere. "
        "Open it where that code is, and export it"
    )


def _classes(path: Path, code: dict[str, str]) -> Iterator[tuple[str, ast.ClassDef]]:
    """Give the classes of the code by their qualified names."""
    for file, source in code.items():
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            message = (
                f'Model file "{path}": its code {file} cannot be read ({error}), so nothing can be '
                "said of what it does."
            )
            raise ModelFileError(message) from error
        module = file.removesuffix(".py").replace("/", ".")
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                yield f"{module}.{node.name}", node


def _method(body: ast.ClassDef | None, name: str) -> ast.FunctionDef | None:
    for node in body.body if body else ():
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    return None


def _signature(forward: ast.FunctionDef) -> str:
    arguments = forward.args
    arguments.args = arguments.args[1:]  # self
    returns = ast.unparse(forward.returns) if forward.returns else "Tensor"
    return f"forward({ast.unparse(arguments)}) -> {returns}"


def _operators(tree: ast.AST) -> Iterator[str]:
    """Give the name of each operator called: ``torch.x`` is ``aten::x``, ``ops.a.x`` ``a::x``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        parts = ast.unparse(node).split(".")
        if parts[0] == "torch" and len(parts) == 2:
            yield f"aten::{parts[1]}"
        elif parts[0] == "ops" and len(parts) == 3:
            yield f"{parts[1]}::{parts[2]}"
        elif parts[:3] == ["__torch__", "torch", "classes"] and len(parts) == 5:
            yield f"{parts[3]}::{parts[4]}"  # a class of C++ that an extension brought


class _Stored(pickle.Unpickler):
    """Walks the pickle of a TorchScript file, with stand-ins for all that it names."""

    def __init__(self, file: IO[bytes], sizes: dict[str, int] | None = None) -> None:
        super().__init__(file)
        self.sizes = sizes  # of the storages in the archive, bytes; None: not to be looked at
        self.weights: Counter[str] = Counter()
        self.kernels: list[tuple[int, ...]] = []

    @classmethod
    def of(cls, archive: zipfile.ZipFile, pickled: str) -> _Stored:
        """Give the walk of a pickle of an archive, whose storages are looked at."""
        folder = pickled.removesuffix(".pkl") + "/"
        sizes = {
            info.filename.removeprefix(folder): info.file_size
            for info in archive.infolist()
            if info.filename.startswith(folder)
        }
        return cls(io.BytesIO(archive.read(pickled)), sizes)

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (a stand-in)
        """Give a stand-in; nothing is ever imported."""
        if module == "torch._utils" and name.startswith("_rebuild_tensor"):
            return self._tensor
        if module == "torch" and name.endswith("Storage"):
            return name
        if module == "torch.jit._pickle":
            return lambda *arguments: arguments[0] if arguments else None
        return type(name, (_StandIn,), {"qualified_name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401  (what the pickle says)
        """Give the type of a storage, of which torch does not see whether it is long enough."""
        _, kind, key, _, number = pid
        needed = number * _BYTES.get(kind, 1)
        if self.sizes is not None and self.sizes.get(key, 0) < needed:
            message = (
                f"its weights {key!r} have {self.sizes.get(key, 0)} bytes where the file says that "
                f"they have {needed}"
            )
            raise InputError(message)
        return kind

    def _tensor(self, storage: Any, _offset: int, size: tuple[int, ...], *_: Any) -> None:  # noqa: ANN401
        self.weights[_TYPES.get(str(storage), str(storage))] += prod(size)
        if len(size) in (4, 5):
            self.kernels.append(tuple(size))


class _StandIn:
    """An object of which only the class is of interest."""

    def __init__(self, *_: Any) -> None:  # noqa: ANN401
        pass

    def __new__(cls, *_: Any) -> _StandIn:  # noqa: ANN401
        return super().__new__(cls)

    def __setstate__(self, _state: Any) -> None:  # noqa: ANN401
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:  # noqa: ANN401  (an OrderedDict's)
        pass
