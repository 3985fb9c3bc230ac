"""Fetching the public models from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from impact_plugin._errors import ImpactError
from impact_plugin._io import expanded, replacing
from impact_plugin._optional import require
from impact_plugin.models.catalogue import (
    REPOSITORY,
    REVISION,
    PublicModel,
    UnknownModelError,
    find,
)
from impact_plugin.models.files import sha256

_TIMEOUT = 10.0  # seconds for the server to say what it has


class DownloadError(ImpactError, OSError):
    """A model that cannot be fetched, or did not arrive as it should."""


def download(
    name: str,
    folder: str | Path | None = None,
    *,
    revision: str | None = None,
    offline: bool | None = None,
    progress: bool | None = None,
    repository: str = REPOSITORY,
    cache: str | Path | None = None,
) -> Path:
    """Fetch a public model from the Hugging Face hub, or from the cache.

    The file is kept in the cache of huggingface_hub, which other programs share, and is fetched
    once. A connection that breaks is taken up again where it broke. Whether the file arrived whole
    is told by its SHA-256, each time: that of the table where it has one, else the one that the
    hub gave. The hub's address is ``$HF_ENDPOINT``, ``https://huggingface.co`` by default.

    Args:
        name: Any name that :func:`find` knows, old or new (``"TS/M730"``, ``"M730_2_Layers.pt"``,
            ``"DINOv2"``), or the path of a file in the repository.
        folder: Where to put a copy, as ``<folder>/TS/M730.pt``, so that a parameter map can name
            it; by default the file is left in the cache.
        revision: A commit, tag or branch of the repository; by default the commit that this version
            of the package was made for (:data:`impact_plugin.models.catalogue.REVISION`; for old
            names ``OLD_REVISION``), so that everybody gets the same file.
        offline: Whether to take the file from the cache alone; by default where ``$HF_HUB_OFFLINE``
            is set to 1.
        progress: Whether to show a progress bar; by default on a terminal.
        repository: Another repository.
        cache: Another cache; by default huggingface_hub's (``$HF_HOME``, ``$HF_HUB_CACHE``).

    Returns:
        The absolute path of the file.

    Raises:
        UnknownModelError: No model has this name. The message has the nearest.
        DownloadError: The hub cannot be reached, does not have the file, or sent another one than
            it should. The message says which, and nothing is left under the file's name.
        ImportError: huggingface_hub is not installed.
    """
    model = _model(name)
    file, revision = model.file, revision or model.revision
    hub = _hub()
    found = hub.try_to_load_from_cache(repository, file, cache_dir=cache, revision=revision)
    if isinstance(found, str):
        path = Path(found)
        _verify(path, _expected(model, revision, path, None))
    elif _is_offline(hub, offline):
        message = (
            f'Model "{file}" (revision {revision[:10]}) is not in the cache '
            f"{cache or hub.constants.HF_HUB_CACHE}, and nothing is fetched offline. Fetch it once "
            f"with a connection: impact-plugin models download {name}"
        )
        raise DownloadError(message)
    else:
        path = _fetch(hub, model, repository, revision, cache, progress)
    if folder is None:
        return path.absolute()
    target = expanded(folder, "folder").absolute() / file
    with replacing(target) as unfinished:
        shutil.copyfile(path, unfinished)
    return target


def _model(name: str) -> PublicModel:
    try:
        return find(name)
    except UnknownModelError:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.\w+", name) or ".." in name:
            raise
    # A file that the table does not have; whether the repository has it, the hub tells.
    return PublicModel(name, name, "", "", 3, 1, (), (), (), revision=REVISION)


def _hub() -> Any:  # noqa: ANN401  (the module)
    hub = "huggingface_hub"
    parts = (f"{hub}.constants", f"{hub}.errors", f"{hub}.utils")
    return require("downloads of models", "models", hub, *parts)


def _is_offline(hub: Any, offline: bool | None) -> bool:  # noqa: ANN401  (the module)
    if offline is not None:
        return offline
    said = os.environ.get("HF_HUB_OFFLINE", "").strip().upper()
    return said in {"1", "ON", "YES", "TRUE"} or bool(hub.constants.HF_HUB_OFFLINE)


def _fetch(
    hub: Any,  # noqa: ANN401  (the module)
    model: PublicModel,
    repository: str,
    revision: str,
    cache: str | Path | None,
    progress: bool | None,
) -> Path:
    file = model.file
    endpoint = os.environ.get("HF_ENDPOINT") or hub.constants.ENDPOINT
    url = hub.hf_hub_url(repository, file, revision=revision, endpoint=endpoint)
    try:
        # Asked first, and once: the library itself tries an unreachable hub for half a minute.
        told = hub.get_hf_file_metadata(url, timeout=_TIMEOUT, endpoint=endpoint)
    except hub.errors.EntryNotFoundError as error:
        message = (
            f'Repository "{repository}" has no file "{file}" at revision {revision}. '
            "`impact-plugin models list` lists the files known to be there."
        )
        raise DownloadError(message) from error
    except hub.errors.RevisionNotFoundError as error:
        message = f'Repository "{repository}" has no revision "{revision}".'
        raise DownloadError(message) from error
    except hub.errors.RepositoryNotFoundError as error:
        message = f'There is no repository "{repository}" at {endpoint}, or it is not public.'
        raise DownloadError(message) from error
    except Exception as error:  # of the library's HTTP client, which changes with its versions
        message = (
            f"The Hugging Face hub at {endpoint} cannot be asked for {file}: "
            f"{_reason(error)}. Check the connection, or fetch {url} by other means and name the "
            "file in the parameter map."
        )
        raise DownloadError(message) from error

    try:
        path = Path(
            hub.hf_hub_download(
                repository,
                file,
                revision=revision,
                cache_dir=cache,
                endpoint=endpoint,
                etag_timeout=_TIMEOUT,
                tqdm_class=_bar(hub, progress),
            )
        )
    except Exception as error:
        message = (
            f"Fetching {url} failed: {_reason(error)}. Nothing was kept; try again when the "
            "connection is better."
        )
        raise DownloadError(message) from error
    _verify(path, _expected(model, revision, path, told.etag))
    return path


def _bar(hub: Any, progress: bool | None) -> Any:  # noqa: ANN401  (a class)
    """Give the library's progress bar; by default it shows on a terminal alone."""

    class Bar(hub.utils.tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
            options["disable"] = None if progress is None else not progress
            super().__init__(*arguments, **options)

    return Bar


def _expected(model: PublicModel, revision: str, path: Path, etag: str | None) -> str | None:
    """Give the checksum that a file must have: a SHA-256, or git's SHA-1 for small files.

    The library names a file in its cache by what the hub said of it.
    """
    if model.sha256 is not None and revision == model.revision:
        return model.sha256
    return etag or path.resolve().name


def _verify(path: Path, expected: str | None) -> None:
    """Compare a file with its checksum, and remove it from the cache where it has another."""
    if expected is None or not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", expected):
        return
    found = sha256(path) if len(expected) == 64 else _git_sha1(path)
    if found == expected:
        return
    size = path.stat().st_size
    for kept in (path.resolve(), path):
        kept.unlink(missing_ok=True)
    message = (
        f"{path.parent.name}/{path.name} has the checksum {found}, expected {expected} "
        f"({size} bytes arrived). The file was removed. Fetch it again; should that not help, what "
        "the server sends is not the file."
    )
    raise DownloadError(message)


def _git_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
