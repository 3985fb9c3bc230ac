"""The maps of a cohort's registrations: loaded, tried and weighed once for all pairs alike."""

from __future__ import annotations

import difflib
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impact_plugin.check import ImageHeader, check_map
from impact_plugin.cohort.errors import CohortProblem, Problems
from impact_plugin.cohort.pairs import OVERRIDE, Pair
from impact_plugin.cohort.plan import Checksums, Variant
from impact_plugin.models import resolve
from impact_plugin.parameters.values import ParameterMap, as_integer, as_number
from impact_plugin.registration import stages
from impact_plugin.registration.fitting import Fit

_CPU = "cpu"
"""Where maps are tried: which GPUs workers have, this process need not know."""

Headers = Mapping[str, ImageHeader]
"""Of fixed and moving images by their names, see :meth:`Pair.image`; of others by their paths."""


@dataclass(frozen=True)
class Loaded:
    """The maps of one variant for images of one dimension, with a pair's own values.

    Attributes:
        raw: As presets or files have them, with the pair's own values.
        resolved: With the paths of their models.
        models: Those paths by the names in ``raw``.
        given: Where models lie, as the caller said it, without those that these maps do not name.
    """

    raw: list[ParameterMap]
    resolved: list[ParameterMap]
    models: Mapping[str, Path]
    given: Any


class Maps:
    """The maps of all variants.

    Args:
        variants: How each pair is registered.
        models: Where model files lie.
    """

    def __init__(self, variants: Sequence[Variant], models: Any) -> None:  # noqa: ANN401
        self._variants, self._models = variants, models
        self._loaded: dict[tuple[str, int, str, Fit | None], Loaded | Exception] = {}
        self._found: dict[tuple[object, ...], tuple[list[str], int]] = {}
        self._links = tempfile.TemporaryDirectory(prefix="impact-plugin-")

    def __enter__(self) -> Maps:
        return self

    def __exit__(self, *_: object) -> None:
        self._links.cleanup()

    def check(self, pairs: Sequence[Pair], headers: Headers) -> list[CohortProblem]:
        """Tell what is wrong with the maps, for the pairs that they are for.

        The checker is :func:`impact_plugin.check_map`; it sees each map with images of each size
        about once, see :func:`_size_class`.
        """
        problems = Problems()
        wrong: set[tuple[str, int]] = set()
        for variant in self._variants:
            for dimension in sorted({_dimension(pair, headers) for pair in pairs} or {3}):
                before = len(problems)
                with problems.noted("map", f"{variant.name}: "):
                    self._load(variant, dimension, {})
                if len(problems) > before:
                    wrong.add((variant.name, dimension))
        raw = [m for e in self._loaded.values() if isinstance(e, Loaded) for m in e.raw]
        if raw:  # else it is not known which models they name
            with problems.noted("map"):
                resolve.check(self._models, raw)
        for pair in pairs:
            dimension = _dimension(pair, headers)
            for variant in self._variants:
                if (variant.name, dimension) in wrong:
                    continue
                base, _ = self._tried(variant, pair, headers, {})
                for each in base:
                    problems.add("map", f"{variant.name}: {each}")
                raw = self._load(variant, dimension, {}).raw
                front = f"pair {pair.name!r}, {variant.name}"
                named = [each | dict(pair.overrides) for each in raw]
                with problems.noted("map", f"{front}: "):
                    stages.iterations_of(_staged(variant, named), pair.options.get("iterations"))
                if not pair.overrides:
                    continue
                own = list(_unlike(pair.overrides, raw))
                if not own:
                    names = ", ".join(OVERRIDE + name for name in pair.overrides)
                    with problems.noted("parameter", f"{front}: with {names}: "):
                        own, _ = self._tried(variant, pair, headers, pair.overrides)
                for each in own:
                    if each not in base:
                        problems.add("parameter", f"{front}: {OVERRIDE}{each}")
        return list(dict.fromkeys(problems))

    def of(self, variant: Variant, pair: Pair, headers: Headers) -> Loaded:
        """Give the maps of a pair's registration, which were checked."""
        return self._load(variant, _dimension(pair, headers), pair.overrides, _fit(pair, headers))

    def checksums(self, loaded: Loaded, known: Checksums) -> dict[str, str]:
        """Give the checksums of model files by their names in the maps."""
        return {name: known.of(str(path)) for name, path in loaded.models.items()}

    def feature_bytes(self, variant: Variant, pair: Pair, headers: Headers) -> int:
        """Give what features and patches take at the peak of the largest level, bytes."""
        return self._tried(variant, pair, headers, pair.overrides)[1]

    def unknown(self, pairs: Sequence[Pair], headers: Headers) -> list[str]:
        """List the parameters of pairs that are in no map: elastix ignores those it has not."""
        found: set[str] = set()
        for pair in pairs:
            for variant in self._variants if pair.overrides else ():
                raw = self._load(variant, _dimension(pair, headers), {}).raw
                found |= {name for name in pair.overrides if not any(name in each for each in raw)}
        return sorted(found)

    def _load(
        self,
        variant: Variant,
        dimension: int,
        overrides: Mapping[str, list[str]],
        fit: Fit | None = None,
    ) -> Loaded:
        fit = fit if variant.presets else None
        key = (variant.name, dimension, repr(sorted(overrides.items())), fit)
        if key not in self._loaded:
            try:
                self._loaded[key] = self._read(variant, dimension, overrides, fit)
            except (ValueError, TypeError, OSError) as error:
                self._loaded[key] = error
        found = self._loaded[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _read(
        self,
        variant: Variant,
        dimension: int,
        overrides: Mapping[str, list[str]],
        fit: Fit | None,
    ) -> Loaded:
        raw = [each | dict(overrides) for each in read(variant, dimension, fit)]
        links = Path(tempfile.mkdtemp(dir=self._links.name))
        chosen = _staged(variant, raw)
        given = _named(self._models, raw)
        made = stages.make_stages(None, chosen, given, dimension, links)
        resolved = [stage.parameters for stage in made]
        models = {}
        for before, after in zip(raw, resolved, strict=True):
            pairs = zip(resolve.listed(before), resolve.listed(after), strict=True)
            models.update({name: Path(path).resolve() for name, path in pairs})
        return Loaded(raw, resolved, models, given)

    def _tried(
        self, variant: Variant, pair: Pair, headers: Headers, overrides: Mapping[str, list[str]]
    ) -> tuple[list[str], int]:
        """Check maps with a pair's images, or such as theirs; gives errors, and bytes."""
        images = [headers[pair.image(side)] for side in ("fixed", "moving")]
        sizes = tuple(_size_class(image) for image in images)
        key = (variant.name, repr(sorted(overrides.items())), sizes)
        if key not in self._found:
            errors: list[str] = []
            most = 0
            fit = _fit(pair, headers)
            for parameters in self._load(variant, images[0].dimension, overrides, fit).resolved:
                stage = stages.with_changes(stages.Stage("", parameters), {}, _CPU)
                if not stage.has_impact:
                    continue
                report = check_map(stage.parameters, *images, threads=1)
                errors += map(str, report.errors)
                most = max(most, *(level.bytes or 0 for level in report.memory), 0)
            self._found[key] = (list(dict.fromkeys(errors)), most)
        return self._found[key]


def read(variant: Variant, dimension: int, fit: Fit | None = None) -> list[ParameterMap]:
    """Read the maps of a variant.

    Args:
        variant: The variant.
        dimension: Dimension of the images.
        fit: How presets are fitted to the images.

    Raises:
        OSError: A file cannot be read.
        ValueError: It is no parameter file; there is no such preset.
    """
    from impact_plugin.parameters import map_files
    from impact_plugin.registration import presets

    if variant.maps:
        return [map_files.read(Path(path)) for path in variant.maps]
    return [presets.load(name, dimension, fit) for name in variant.presets]


def _named(models: Any, raw: Sequence[ParameterMap]) -> Any:  # noqa: ANN401
    """Leave out the models that maps do not name: other variants may."""
    if not isinstance(models, Mapping):
        return models
    names = {name for each in raw for name in resolve.named(each)}
    return {name: path for name, path in models.items() if name in names} or None


def _staged(variant: Variant, raw: Sequence[ParameterMap]) -> list[stages.Stage]:
    """Name the maps of a variant: by its presets or files."""
    names = variant.presets or [Path(path).stem for path in variant.maps]
    return [stages.Stage(name, each) for name, each in zip(names, raw, strict=True)]


def _dimension(pair: Pair, headers: Headers) -> int:
    return headers[pair.image("fixed")].dimension


def _fit(pair: Pair, headers: Headers) -> Fit:
    return Fit.of(*(headers[pair.image(side)].grid for side in ("fixed", "moving")))


def _size_class(image: ImageHeader) -> tuple[int, ...]:
    """Give the same for images of about as many voxels, and as many mm3: within half.

    To open and try a network takes up to seconds, and thousands of images have thousands of sizes.
    """
    voxels = math.prod(image.size)
    volume = voxels * math.prod(image.spacing)
    return image.dimension, math.ceil(2 * math.log2(voxels)), math.ceil(2 * math.log2(volume))


def _unlike(overrides: Mapping[str, list[str]], raw: Sequence[ParameterMap]) -> Iterator[str]:
    """Find names and values that are slips, by what the maps themselves have.

    elastix ignores parameters that it does not know, and of its hundreds there is no list: a name
    that is all but one of the map's is taken for that one.
    """
    known = {name: values for each in raw for name, values in each.items()}
    for name, values in overrides.items():
        before = known.get(name)
        if before is None:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.94)
            if near and re.sub(r"\d", "", near[0]) != re.sub(r"\d", "", name):
                yield f"{name}: there is no such parameter. The nearest is {near[0]}."
            continue
        shown = f"the map has ({name} {' '.join(before)})"
        if None not in map(as_number, before) and None in map(as_number, values):
            yield f'{name}: "{" ".join(values)}" is not allowed. Allowed: numbers; {shown}.'
        elif re.match("(MaximumNumberOf|NumberOf)[A-Z]", name) and not all(
            as_integer(value) is not None for value in values
        ):
            yield f'{name}: "{" ".join(values)}" is not allowed. Allowed: whole numbers; {shown}.'
        elif set(before) <= {"true", "false"} and not set(values) <= {"true", "false"}:
            yield f'{name}: "{" ".join(values)}" is not allowed. Allowed: true, false; {shown}.'
