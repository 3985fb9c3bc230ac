"""Finding out what a model file is: what it says of itself, and what it does when it is run."""

from __future__ import annotations

import math
from pathlib import Path

from impact_plugin._arguments import check_choice, check_flag, check_integer
from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments
from impact_plugin.models import trial_process
from impact_plugin.models.archive import ModelFileError, file_facts, read_archive
from impact_plugin.models.report import ModelReport
from impact_plugin.models.trial_process import Task

_CHANNELS = (1, 3, 2, 4, 5, 6, 7, 8)


@plain_arguments
def inspect(
    path: str | Path,
    *,
    run: bool = True,
    trust: bool = False,
    dimension: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    intensities: tuple[float, float] | None = None,
    memory_limit: float = 1e9,
    time_limit: float | None = 300.0,
) -> ModelReport:
    """Find out what a TorchScript file is.

    First its code is read, without running any of it: the calling convention, the operators, the
    types of its weights. Then it is run as the metric runs it, on irregular inputs: which
    dimensions and channels it takes, how many layers it gives, and for each the channels and, by
    gradient, the stride and the field of view. A TorchScript file is a program, which does what its
    author wrote: see ``docs/models.md``. It is run in a process of its own, which it may take down
    and not this one; what it prints comes on standard error.

    Args:
        path: The file.
        run: Whether to run it. Without, the report has what the file says of itself alone.
        trust: Whether to run a model that can do more than compute: one with operators that touch
            files, the network or extensions of torch, or with code that runs when it is opened.
        dimension: 2 or 3, to try that alone.
        channels: Number of input channels, to try that alone.
        size: Voxels along each axis of the first input to try, for models that want a certain size.
        intensities: Least and greatest intensity of the inputs. None: -100 to 100, or 0 to 1 for
            networks that clamp theirs and see more of these. Networks show nothing beyond what they
            clamp to.
        memory_limit: Bytes up to which larger inputs are tried where the field of view of a layer
            does not show in smaller ones.
        time_limit: Seconds after which it is stopped; None for none.

    Returns:
        The report; ``print()`` it, or take its fields. Axes are in the order x, y (, z).

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no TorchScript model, or is damaged, or was not to be trusted.
        ModelRefusedError: It took none of the inputs that were tried. The message says which, and
            why it refused.
        ModelStoppedError: It was not done after ``time_limit``, or ended its process: crashed, or
            was killed because the machine's memory ran out.
        ValueError: An argument is not allowed.
    """
    if dimension is not None:
        check_choice("dimension", dimension, (2, 3), ", or None to try both")
    check_flag("trust", trust)
    check_integer("channels", channels, 1)
    check_integer("size", size, 1)
    low, high = intensities or (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        message = (
            f"intensities are {low:g} and {high:g}, expected two numbers, the least below the "
            "greatest"
        )
        raise InputError(message)
    if time_limit is not None and not 0 < time_limit < math.inf:
        message = f"time_limit is {time_limit!r}, expected seconds above 0, or None for no limit"
        raise InputError(message)
    file = expanded(path)
    archive = read_archive(file)
    number_of_bytes, digest = file_facts(file)
    said = ModelReport(
        path=str(path),
        size=number_of_bytes,
        sha256=digest,
        signature=archive.signature,
        weights=archive.weights,
        operators=archive.operators,
        outside=archive.outside,
        runs_on_load=archive.runs_on_load,
    )
    if not run:
        return said
    if not trust and (archive.outside or archive.runs_on_load):
        what = [*archive.outside, *(f"{name}.__setstate__" for name in archive.runs_on_load)]
        message = (
            f'Model file "{path}" can do more than compute features: it has {", ".join(what)}. It '
            "was not run. Where you trust its author, say so (trust=True, or --trust); run=False "
            "(--no-run) reads it alone."
        )
        raise ModelFileError(message)

    channels_to_try = [*dict.fromkeys((archive.input_channels or 1, *_CHANNELS))]
    return trial_process.run(
        Task(
            str(file),
            (dimension,) if dimension else (3, 2),
            tuple([channels] if channels else channels_to_try),
            size,
            intensities,
            memory_limit,
        ),
        said,
        time_limit,
    )
