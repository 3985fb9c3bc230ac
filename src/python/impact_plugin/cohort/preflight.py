"""All that is wrong with a cohort, found before anything starts, in one report."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impact_plugin import _files
from impact_plugin.check import ImageError, ImageHeader, check_map
from impact_plugin.cohort.pairs import FILES, Pair
from impact_plugin.cohort.plan import Checksums, Task, Variant, content_key, describe_variants
from impact_plugin.pairwise import model_files, stages
from impact_plugin.parameters.values import ParameterMap

COHORT = "cohort.json"
"""What a cohort's folder says of itself."""

_IMAGES = tuple(name for name in FILES if not name.endswith("_points"))
_PROCESS_BYTES = 1 << 30
"""What a registration takes beside feature maps and images: a worker, elastix, and torch."""
_COPIES = 6
"""Of the images, as floats: read, in elastix's pyramids, and warped."""


class CohortError(ValueError):
    """A cohort cannot start; ``problems`` has all that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        number = len(self.problems)
        head = f"{number} thing{'s are' if number > 1 else ' is'} wrong, nothing was started:"
        super().__init__("\n".join([head, *(f"  - {each}" for each in self.problems)]))


def check_folder(folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """Tell whether a folder is another cohort's, or has other things in it."""
    said = folder / COHORT
    if folder.exists() and not folder.is_dir():
        return [f"{folder} is a file, expected a folder for the results"]
    if not said.is_file():
        if folder.is_dir() and any(each.name != ".checksums.json" for each in folder.iterdir()):
            return [f"{folder} is not empty and not a cohort's folder: choose another"]
        return []
    try:
        content = json.loads(said.read_text(encoding="utf-8"))
        theirs = {tuple(each) for each in content["pairs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{said} cannot be read ({error!r}): choose another folder"]
    if theirs.isdisjoint(_identity(pairs)):
        return [
            f"{folder} is the folder of another cohort, with {len(theirs)} pairs of which none is "
            "here: choose another folder"
        ]
    return []


def describe_cohort(folder: Path, pairs: Sequence[Pair], variants: Sequence[Variant]) -> None:
    """Write what a cohort's folder says of itself."""
    content = {
        "cohort_version": 1,
        "pairs": sorted(_identity(pairs)),
        "variants": describe_variants(variants),
    }
    _files.write_text(folder / COHORT, json.dumps(content, indent=1) + "\n")


def _identity(pairs: Sequence[Pair]) -> set[tuple[str, str, str]]:
    return {(each.name, each.files["fixed"], each.files["moving"]) for each in pairs}


def check_pairs(pairs: Sequence[Pair]) -> tuple[list[str], dict[str, ImageHeader]]:
    """Find duplicates, files that are not there, and images that cannot be read.

    Returns:
        What is wrong, and the headers of the images by their paths.
    """
    problems: list[str] = []
    names: set[str] = set()
    same: dict[str, str] = {}
    headers: dict[str, ImageHeader] = {}
    seen: set[str] = set()
    for pair in pairs:
        if pair.name in names:
            problems.append(f"two pairs are named {pair.name!r}")
        names.add(pair.name)
        content = repr((dict(pair.files), pair.initial_transform, pair.options, pair.overrides))
        if content in same and same[content] != pair.name:
            problems.append(f"the pairs {same[content]!r} and {pair.name!r} are the same")
        same.setdefault(content, pair.name)
        named = dict(pair.files)
        if pair.initial_transform not in (None, "center", "mass"):
            named["initial_transform"] = str(pair.initial_transform)
        for role, path in named.items():
            if path in seen:
                continue
            seen.add(path)
            if not Path(path).is_file():
                problems.append(f"pair {pair.name!r}: {role}: there is no file {path!r}")
            elif role in _IMAGES:
                try:
                    headers[path] = ImageHeader.read(path)
                except (ImageError, OSError) as error:
                    problems.append(f"pair {pair.name!r}: {role}: {error}")
        problems += _check_sides(pair, headers)
    return problems, headers


def _check_sides(pair: Pair, headers: Mapping[str, ImageHeader]) -> list[str]:
    problems = []
    for kind in ("points", "labels"):
        if len({f"fixed_{kind}", f"moving_{kind}"} & pair.files.keys()) == 1:
            problems.append(f"pair {pair.name!r}: {kind} are given of one of the two images only")
    sizes = {len(h.size) for f in ("fixed", "moving") if (h := headers.get(pair.files[f]))}
    if len(sizes) > 1:
        problems.append(f"pair {pair.name!r}: one image is 2D, the other 3D")
    return problems


class Maps:
    """The maps of the variants, loaded once for each number of dimensions."""

    def __init__(self, variants: Sequence[Variant], models: Any) -> None:  # noqa: ANN401
        self._models = models
        self._found: dict[tuple[str, int], tuple[list[ParameterMap], dict[str, str]]] = {}
        self._variants = variants

    def load(self, dimensions: Iterable[int], checksums: Checksums) -> list[str]:
        """Load all, and tell what is wrong with them."""
        problems = []
        for dimension in sorted(set(dimensions)):
            for variant in self._variants:
                try:
                    self._load(variant, dimension, checksums)
                except (ValueError, TypeError, OSError) as error:
                    problems.append(f"{variant.name}: {error}")
        return list(dict.fromkeys(problems))

    def _load(self, variant: Variant, dimension: int, checksums: Checksums) -> None:
        own = [Path(path) for path in variant.maps] or None
        chosen = list(variant.presets) or None
        with tempfile.TemporaryDirectory(prefix="impact-plugin-") as links:
            resolved = stages.make_stages(chosen, own, self._models, dimension, Path(links))
            raw = _raw(variant, dimension)
            sums = {}
            for before, stage in zip(raw, resolved, strict=True):
                names = model_files.named(before)
                paths = model_files.named(stage.parameters)
                for name, path in zip(names, paths, strict=True):
                    sums[name] = checksums.of(str(Path(path).resolve()))
        self._found[variant.name, dimension] = (raw, sums)

    def of(self, variant: Variant, dimension: int) -> tuple[list[ParameterMap], dict[str, str]]:
        """Give the maps of a variant and the checksums of their models by name."""
        return self._found[variant.name, dimension]


def _raw(variant: Variant, dimension: int) -> list[ParameterMap]:
    from impact_plugin.engine import parameter_text
    from impact_plugin.pairwise import presets

    if variant.maps:
        return [parameter_text.read(Path(path)) for path in variant.maps]
    return [presets.load(name, dimension) for name in variant.presets]


def make_tasks(
    pairs: Sequence[Pair],
    variants: Sequence[Variant],
    maps: Maps,
    headers: Mapping[str, ImageHeader],
    checksums: Checksums,
    **options: Any,  # noqa: ANN401
) -> list[Task]:
    """Make the tasks with their keys; ``options`` are those of :class:`Task`."""
    tasks = []
    for pair in pairs:
        dimension = len(headers[pair.files["fixed"]].size)
        for variant in variants:
            raw, models = maps.of(variant, dimension)
            key = content_key(pair, raw, models, checksums, options.get("device"))
            tasks.append(Task(pair, variant, key, **options))
    return tasks


def predict_bytes(
    pairs: Sequence[Pair],
    variants: Sequence[Variant],
    maps: Maps,
    headers: Mapping[str, ImageHeader],
) -> int:
    """Predict the memory of the largest pair's registration, bytes.

    What ``impact_plugin.check`` predicts for feature maps, and estimates of the rest: 1 GiB for the
    processes, and six copies of the images as floats.
    """

    def voxels(pair: Pair) -> int:
        return sum(math.prod(headers[pair.files[f]].size) for f in ("fixed", "moving"))

    largest = max(pairs, key=voxels)
    images = [headers[largest.files[f]] for f in ("fixed", "moving")]
    features = 0
    for variant in variants:
        for parameters in maps.of(variant, len(images[0].size))[0]:
            levels = check_map(parameters, *images, threads=1).memory
            features = max(features, *(e.bytes or 0 for e in levels if e.gpu < 0), 0)
    return _PROCESS_BYTES + 4 * _COPIES * voxels(largest) + features
