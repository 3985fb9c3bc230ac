"""Model files whose parts are changed while their checksums fit, and what is said of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

Change = Callable[[str, bytes], bytes | None]


def rezipped(file: Path, target: Path, change: Change) -> Path:
    """Write a model file with other contents, and checksums that fit them."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def replaced(ending: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, content: content.replace(old, new) if name.endswith(ending) else content


def without(part: str) -> Change:
    return lambda name, content: None if part in name else content


DAMAGED: dict[str, tuple[Change, str]] = {
    "later version": (
        lambda name, content: b"999\n" if name.endswith("/version") else content,
        "version 999",
    ),
    "no version": (without("/version"), 'hasRecord("version")'),
    "no constants": (without("constants.pkl"), "constants.pkl"),
    "no weights": (without("/data/"), "data/0"),
    "no code": (without(".py"), "is not a TorchScript model that this torch can open: "),
    "no forward": (
        replaced(".py", b"def forward", b"def fxrward"),
        "is not a TorchScript model that this torch can open: ",
    ),
    "operator of another extension": (
        replaced(".py", b"torch.tanh", b"ops.myext.tanh"),
        "Unknown builtin op: myext::tanh",
    ),
    "class of another extension": (
        replaced(".py", b"training : bool", b"training : __torch__.torch.classes.my.Class"),
        "my.Class",
    ),
    "half of its code": (
        lambda name, content: content[: len(content) // 2] if name.endswith(".py") else content,
        "expected ",
    ),
    "code that is no UTF-8": (
        replaced(".py", b"def forward", b"\xff\xfe forward"),
        "is not a TorchScript model that this torch can open: ",
    ),
    "weights of fewer than none": (
        replaced("/data.pkl", b"K\xa2t", b"J\xff\xff\xff\xfft"),
        "-1 weights of the type 6",
    ),
    "a tensor beyond its weights": (
        replaced("/data.pkl", b"(K\x06K\x01K\x03", b"(K\x07K\x01K\x03"),
        "storage of at least 756 bytes, but storage only has 648 bytes",
    ),
    "half of its pickle": (
        lambda name, content: (
            content[: len(content) // 2] if name.endswith("/data.pkl") else content
        ),
        "data.pkl in it is cut off",
    ),
}

_MANY = b"J\x00\x00\x00\x40"  # 2^30
# Of helpers.tiny_models.Layers: a file, what is changed in it, what is said.
TOO_FEW: dict[str, tuple[str, Change, str]] = {
    "a record that was cut": (
        "layers.pt",
        lambda name, content: content[:8] if name.endswith("/data/0") else content,
        r"data/0 in it has 8 bytes, and not the 162 weights of 4 bytes that data\.pkl says",
    ),
    "a longer storage": (
        "layers.pt",
        replaced("/data.pkl", b"K\xa2t", _MANY + b"t"),
        r"data/0 in it has 648 bytes, and not the 1073741824 weights of 4 bytes that data\.pkl",
    ),
    "a storage of wider numbers": (
        "layers.pt",
        replaced("/data.pkl", b"FloatStorage", b"DoubleStorage"),
        r"data/0 in it has 648 bytes, and not the 162 weights of 8 bytes that data\.pkl says",
    ),
    "constants of the code that were cut": (
        "constants.pt",
        lambda name, content: content[:4] if "/constants/" in name else content,
        r"constants/0 in it has 4 bytes, and not the \d+ weights of 4 bytes that constants\.pkl",
    ),
}
