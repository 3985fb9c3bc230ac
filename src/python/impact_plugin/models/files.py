"""Where model files are kept, and what tells one from another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from impact_plugin import _io
from impact_plugin._io import expanded
from impact_plugin._io import replacing as replacing


def cache_folder() -> Path:
    """Give the folder for models that are made; it need not exist."""
    return _io.cache_folder() / "models"


def target_path(path: str | Path | None, name: str) -> Path:
    """Give the absolute path of a file to write.

    Args:
        path: A file, or an existing folder that gets ``name``; by default the cache.
        name: The default name.
    """
    target = cache_folder() / name if path is None else expanded(path).absolute()
    return target / name if target.is_dir() else target


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
