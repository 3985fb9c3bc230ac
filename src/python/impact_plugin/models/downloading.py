"""Fetching the public models from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impact_plugin._errors import ImpactError, InputError
from impact_plugin._io import expanded, replacing
from impact_plugin._optional import require
from impact_plugin.models import registry
from impact_plugin.models.catalogue import (
    REPOSITORY,
    REVISION,
    PublicModel,
    UnknownModelError,
    catalogue,
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
    model, hub = _model(name), _hub()
    source = _Source(hub, repository, revision or model.revision, cache)
    path = source.kept(model.file)
    known: registry.Registry = {}
    if path is not None:
        source.verify(path, model, None)
        known = source.described(may_fetch=False)
    elif _is_offline(hub, offline):
        message = (
            f'Model "{model.file}" (revision {source.revision[:10]}) is not in the cache '
            f"{cache or hub.constants.HF_HUB_CACHE}, and nothing is fetched offline. Fetch it once "
            f"with a connection: impact-plugin models download {name}"
        )
        raise DownloadError(message)
    else:
        told = source.told(model.file)
        known = source.described(may_fetch=True)
        if told is None:
            raise DownloadError(source.missing(model.file, known))
        path = source.fetch(model.file, progress)
        source.verify(path, model, told.etag)
    if model.file in known:
        source.check(known[model.file], model.file, path)
    if folder is None:
        return path.absolute()
    target = expanded(folder, "folder").absolute() / model.file
    with replacing(target) as unfinished:
        shutil.copyfile(path, unfinished)
    return target


def online_catalogue(
    *,
    revision: str | None = None,
    offline: bool | None = None,
    repository: str = REPOSITORY,
    cache: str | Path | None = None,
) -> tuple[PublicModel, ...]:
    """List the public models by what the hub's ``models.json`` says of them.

    Dimension, input channels, field of view and multiple are the hub's; what it does not say is the
    table's (:func:`catalogue`), and ``differences`` has where the two are not of one mind. Files
    that the table does not have have no layers; what the hub does not list comes last, as the table
    has it.

    Args:
        revision: A commit, tag or branch of the repository; by default the fixed one.
        offline: Whether to take models.json from the cache alone, as for :func:`download`.
        repository: Another repository.
        cache: Another cache, as for :func:`download`.

    Raises:
        DownloadError: The hub cannot be reached, or its models.json is not there or damaged.
        ImportError: huggingface_hub is not installed.
    """
    hub = _hub()
    source = _Source(hub, repository, revision or REVISION, cache)
    known = source.described(may_fetch=not _is_offline(hub, offline))
    if not known:
        message = (
            f"{source} has no {registry.FILE}, or it is not in the cache and nothing is fetched "
            "offline. Without it, `impact-plugin models list` and impact_plugin.models.catalogue() "
            "list what this package knows."
        )
        raise DownloadError(message)
    table = {model.file: model for model in catalogue()}
    listed = [
        registry.described(
            replace(
                table.get(file) or registry.of_file(file, source.revision),
                revision=source.revision,
            ),
            entry,
        )
        for file, entry in known.items()
    ]
    left = (replace(each, differences=(f"not in {registry.FILE}",)) for each in table.values())
    return (*listed, *(each for each in left if each.file not in known))


def known(
    name: str,
    *,
    revision: str | None = None,
    repository: str = REPOSITORY,
    cache: str | Path | None = None,
) -> PublicModel | None:
    """Say what is known of a model without a connection; None where nothing is.

    By the ``models.json`` of its revision, which :func:`download` leaves in the cache, else by the
    table. Arguments and errors are those of :func:`download`.
    """
    model = _model(name)
    source = _Source(_hub(), repository, revision or model.revision, cache)
    entry = source.described(may_fetch=False).get(model.file)
    if entry is not None:
        return registry.described(model, entry)
    return model if model.family else None


def _model(name: str) -> PublicModel:
    try:
        return find(name)
    except UnknownModelError:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.\w+", name) or ".." in name:
            raise
    # A file that the table does not have; whether the repository has it, the hub tells.
    return registry.of_file(name, REVISION)


def _hub() -> Any:  # noqa: ANN401  (the module)
    hub = "huggingface_hub"
    parts = (f"{hub}.constants", f"{hub}.errors", f"{hub}.utils")
    return require("downloads of models", "models", hub, *parts)


def _is_offline(hub: Any, offline: bool | None) -> bool:  # noqa: ANN401  (the module)
    if offline is not None:
        return offline
    said = os.environ.get("HF_HUB_OFFLINE", "").strip().upper()
    return said in {"1", "ON", "YES", "TRUE"} or bool(hub.constants.HF_HUB_OFFLINE)


@dataclass(frozen=True)
class _Source:
    """A revision of a repository, and the cache.

    Args:
        hub: The module huggingface_hub.
    """

    hub: Any
    repository: str
    revision: str
    cache: str | Path | None

    def __str__(self) -> str:
        return f'Repository "{self.repository}" at revision {self.revision}'

    def kept(self, file: str) -> Path | None:
        """Give the path of a file in the cache."""
        found = self.hub.try_to_load_from_cache(
            self.repository, file, cache_dir=self.cache, revision=self.revision
        )
        return Path(found) if isinstance(found, str) else None

    def told(self, file: str) -> Any | None:  # noqa: ANN401  (the library's)
        """Ask the hub about a file; None where it does not have it.

        Raises:
            DownloadError: It cannot be asked, or has no such revision or repository.
        """
        hub, endpoint, url = self.hub, self.endpoint, self.url(file)
        try:
            # Asked first, and once: the library itself tries an unreachable hub for half a minute.
            return hub.get_hf_file_metadata(url, timeout=_TIMEOUT, endpoint=endpoint)
        except hub.errors.EntryNotFoundError:
            return None
        except hub.errors.RevisionNotFoundError as error:
            message = f'Repository "{self.repository}" has no revision "{self.revision}".'
            raise DownloadError(message) from error
        except hub.errors.RepositoryNotFoundError as error:
            message = (
                f'There is no repository "{self.repository}" at {endpoint}, or it is not public.'
            )
            raise DownloadError(message) from error
        except Exception as error:  # of the library's HTTP client, which changes with its versions
            message = (
                f"The Hugging Face hub at {endpoint} cannot be asked for {file}: "
                f"{_reason(error)}. Check the connection, or fetch {url} by other means and name "
                "the file in the parameter map."
            )
            raise DownloadError(message) from error

    def fetch(self, file: str, progress: bool | None) -> Path:
        """Fetch a file into the cache.

        Raises:
            DownloadError: It did not arrive.
        """
        try:
            return Path(
                self.hub.hf_hub_download(
                    self.repository,
                    file,
                    revision=self.revision,
                    cache_dir=self.cache,
                    endpoint=self.endpoint,
                    etag_timeout=_TIMEOUT,
                    tqdm_class=_bar(self.hub, progress),
                )
            )
        except Exception as error:
            message = (
                f"Fetching {self.url(file)} failed: {_reason(error)}. Nothing was kept; try again "
                "when the connection is better."
            )
            raise DownloadError(message) from error

    def verify(self, path: Path, model: PublicModel | None, etag: str | None) -> None:
        """Compare a file with its checksum, a SHA-256, or git's SHA-1 for small files.

        It is removed from the cache where it has another. The library names a file in its cache by
        what the hub said of it.

        Raises:
            DownloadError: It has another one.
        """
        if model is not None and model.sha256 is not None and self.revision == model.revision:
            _verify(path, model.sha256)
        else:
            _verify(path, etag or path.resolve().name)

    def described(self, *, may_fetch: bool) -> registry.Registry:
        """Give what models.json says; nothing where there is none, or it is not here.

        Raises:
            DownloadError: It cannot be fetched, or is damaged.
        """
        path, etag = self.kept(registry.FILE), None
        if path is None:
            told = self.told(registry.FILE) if may_fetch else None
            if told is None:
                return {}
            path, etag = self.fetch(registry.FILE, progress=False), told.etag
        self.verify(path, None, etag)
        try:
            return registry.read(path)
        except (OSError, ValueError) as error:
            message = (
                f"{self}: {registry.FILE}, which says what each model is, is damaged: {error}. "
                "Name another revision, or none, which is the one that this package was tried with."
            )
            raise DownloadError(message) from error

    def check(self, entry: registry.Entry, file: str, path: Path) -> None:
        """Compare a file with what models.json says of it.

        Raises:
            DownloadError: They contradict each other.
        """
        try:
            registry.check(entry, path)
        except InputError as error:
            message = (
                f"{self}: {file} is not what {registry.FILE} says of it: {error}. "
                f"`impact-plugin models inspect {path}` tells what it is; fetch another revision, "
                "or name that file in the parameter map."
            )
            raise DownloadError(message) from error

    def missing(self, file: str, known: registry.Registry) -> str:
        """Say that a file is not there."""
        if file in known:
            return (
                f'{self} has no file "{file}", although its {registry.FILE} describes it. Name '
                "another revision."
            )
        return (
            f'Repository "{self.repository}" has no file "{file}" at revision {self.revision}. '
            "`impact-plugin models list` lists the files known to be there."
        )

    @property
    def endpoint(self) -> str:
        return os.environ.get("HF_ENDPOINT") or str(self.hub.constants.ENDPOINT)

    def url(self, file: str) -> str:
        found = self.hub.hf_hub_url(
            self.repository, file, revision=self.revision, endpoint=self.endpoint
        )
        return str(found)


def _bar(hub: Any, progress: bool | None) -> Any:  # noqa: ANN401  (a class)
    """Give the library's progress bar; by default it shows on a terminal alone."""

    class Bar(hub.utils.tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
            options["disable"] = None if progress is None else not progress
            super().__init__(*arguments, **options)

    return Bar


def _verify(path: Path, expected: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", expected):
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
