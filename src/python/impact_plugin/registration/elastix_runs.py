"""``impact-elastix -record FILE``: elastix's own program, and a record of what it did."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from impact_plugin import _versions
from impact_plugin._arguments import integer
from impact_plugin._errors import InputError
from impact_plugin._io import expanded, temporary_folder, utf8_name, write_text
from impact_plugin.elastix import process
from impact_plugin.elastix.history import History
from impact_plugin.elastix.log import ElastixLog
from impact_plugin.folders import LOG, record_file
from impact_plugin.images import conversion
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import map_files
from impact_plugin.registration import outputs, stages
from impact_plugin.registration.api import resampling_of
from impact_plugin.registration.inputs import Inputs
from impact_plugin.registration.records import making
from impact_plugin.registration.result import RegistrationResult
from impact_plugin.registration.stages import Stage
from impact_plugin.registration.stopwatch import Stopwatch
from impact_plugin.transforms import directions, initial
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.directions import Ignored

if TYPE_CHECKING:
    import SimpleITK as sitk

_IMAGES = dict(zip(("-f", "-m", "-fMask", "-mMask"), making.IMAGES, strict=True))
_NEEDED = ("-f", "-m", "-out", "-p")
_KNOWN = (*_IMAGES, "-out", "-p", "-t0", "-threads", "-priority", "-loglevel")


def run(arguments: Sequence[str], file: Path) -> int:
    """Run elastix in a child process, and write a record where it ended well.

    Args:
        arguments: elastix's own.
        file: The record.

    Returns:
        elastix's exit code, or 1 where a record cannot be made: of most causes that is known, and
        said, before elastix starts.
    """
    # As elastix itself does. The child ends with this process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        return _run(arguments, expanded(file).absolute())
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(f"impact-elastix: -record {file}: {error}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str], file: Path) -> int:
    watch = Stopwatch()
    _versions.check()
    given, maps, rest = _parsed(arguments)
    out = Path(utf8_name(Path(rest["-out"]).absolute()))
    threads = None
    if (text := rest.get("-threads")) is not None:
        threads = integer("-threads", int(text) if text.isdecimal() else text, 1)
    if file.is_dir() or not file.parent.is_dir():
        message = f"it is a folder, or {str(file.parent)!r} is none: give a file in a folder"
        raise InputError(message)
    inputs = Inputs.of(given["fixed"], given["moving"], given["fixed_mask"], given["moving_mask"])
    for name in ("fixed_mask", "moving_mask"):
        _check_mask(given[name], getattr(inputs, name))
    before = initial.make_chain(rest.get("-t0"), inputs.fixed, inputs.moving, "-t0")
    with temporary_folder() as links:
        chosen = stages.make_stages(None, maps, None, inputs.fixed.GetDimension(), links)
        said = dict.fromkeys(("iterations", "device", "seed", "default_pixel_value"))
        begun = making.begin(
            inputs, given, rest.get("-t0"), before, chosen, {**said, "threads": threads}
        )
    dimension = inputs.fixed.GetDimension()
    grids = Geometry.of(inputs.fixed), Geometry.of(inputs.moving)
    ignored = Ignored.of([stage.parameters for stage in chosen], *grids)
    if ignored is not None and before.maps and not ignored.is_trivial:
        message = f"a record has no place for -t0 together with {directions.WHAT}"
        raise InputError(message)
    placed = before if ignored is None or before.maps else ignored.start
    resampling = resampling_of(chosen, inputs.moving, None)
    file.unlink(missing_ok=True)  # of an earlier registration

    log, lines = ElastixLog(), list[str]()

    def listen(line: str) -> None:
        print(line, flush=True)
        lines.append(line)
        log.feed(line)

    watch.ended("reading, checks and record")
    with temporary_folder() as own:
        code = process.run("elastix", _told(arguments, chosen, own), listen)
    watch.split(log.phases(), "start and the rest")
    if code != 0:
        return code if code > 0 else 128 - code  # as a shell has it

    outputs.write(out, [stage.parameters for stage in chosen], dimension)
    last = out / f"TransformParameters.{len(chosen) - 1}.txt"
    log_file = out / LOG
    text = log_file.read_text("utf-8", "replace") if log_file.is_file() else "\n".join(lines)
    chain = Chain.read(last)
    if ignored is not None:
        chain = ignored.in_world(Chain(chain.maps[len(before.maps) :]), placed)
    result = RegistrationResult(
        image=inputs.moving,
        chain=chain,
        fixed=Geometry.of(inputs.fixed),
        history=History.of(()),
        timings={},
        stages=tuple(stage.name for stage in chosen),
        stopped=False,
        output_directory=out,
        resampling=resampling,
        initial=len(placed.maps),
    )
    image = result.warp(inputs.moving, threads=threads)
    timings = watch.ended("warped image")
    result = replace(result, image=image, timings=timings)
    there = log_file.is_file()
    record = structs.replace(
        making.finish(begun, result, placed, log.levels, text),
        log=os.path.relpath(log_file, file.parent) if there else None,
    )
    if ignored is None:  # else elastix's file is of its own frame
        named = structs.replace(record.transform, file=os.path.relpath(last, file.parent))
        record = structs.replace(record, transform=named)
    record_file.write(record, file)
    return 0


def _told(arguments: Sequence[str], chosen: Sequence[Stage], folder: Path) -> list[str]:
    """Give elastix's arguments, without the parameters for what is written here.

    Args:
        arguments: As they were given.
        chosen: The stages.
        folder: For parameter files in place of those that have such parameters.

    Raises:
        OSError: One cannot be written.
    """
    told = list(arguments)
    files = [place + 1 for place, flag in enumerate(told) if flag == "-p" and place % 2 == 0]
    for number, (place, stage) in enumerate(zip(files, chosen, strict=True)):
        left = outputs.for_elastix(stage.parameters)
        if left != stage.parameters:
            path = folder / f"{number}" / Path(told[place]).with_suffix(".txt").name
            path.parent.mkdir()
            write_text(path, map_files.dump(left))
            told[place] = str(path)
    return told


def _parsed(
    arguments: Sequence[str],
) -> tuple[dict[str, Path | None], list[Path], dict[str, str]]:
    """Sort elastix's arguments.

    Returns:
        The images by the names of records, the parameter files, and all others by their flags.

    Raises:
        ValueError: One is missing, or is of those of which a record knows nothing.
    """
    found: dict[str, str] = {}
    maps = []
    for flag, value in zip(arguments[::2], arguments[1::2], strict=False):
        if flag not in _KNOWN or flag in found:
            again = " a second time" if flag in found else ""
            message = f"a record has no place for {flag}{again}. It knows {', '.join(_KNOWN)}"
            raise InputError(message)
        if flag == "-p":
            maps.append(Path(value))
        else:
            found[flag] = value
    missing = [flag for flag in _NEEDED if flag not in found and not (flag == "-p" and maps)]
    if missing or len(arguments) % 2:
        last = [f"a value of {arguments[-1]}"] if len(arguments) % 2 else []
        message = f"missing of elastix's arguments: {', '.join([*missing, *last])}"
        raise InputError(message)
    images = {
        name: Path(found.pop(flag)) if flag in found else None for flag, name in _IMAGES.items()
    }
    return images, maps, found


def _check_mask(path: Path | None, mask: sitk.Image | None) -> None:
    """Refuse a mask of other values than 0 and 1, which is what elastix gets in a rerun.

    elastix rounds a mask's values and, where it erodes masks, computes with them.
    """
    import SimpleITK as sitk

    if path is None or mask is None:
        return
    given = conversion.to_sitk(path)  # a view does not keep its image
    if not np.array_equal(sitk.GetArrayViewFromImage(given), sitk.GetArrayViewFromImage(mask)):
        message = f"the mask {str(path)!r} has values other than 0 and 1: write it with these"
        raise InputError(message)
