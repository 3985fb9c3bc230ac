"""Trying a model in a process of its own.

torch cannot be interrupted from within, and a model can do to its process whatever its author
likes. So the process is one that can be done without.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass

import msgspec

from impact_plugin.elastix.process import answering, describe_exit
from impact_plugin.models.archive import ModelFileError
from impact_plugin.models.report import ModelReport


class ModelRefusedError(ModelFileError):
    """A model that takes none of the inputs that were tried."""


class ModelStoppedError(ModelFileError):
    """A model that does not come back, or that takes its process down."""


@dataclass(frozen=True)
class Task:
    """What to try.

    Args:
        file: Path of the model.
        dimensions: Dimensions to try, in this order.
        channels: Numbers of channels to try, in this order.
        size: Voxels along each axis, to try that alone.
        intensities: Least and greatest intensity; None: what the network sees more of.
        memory_limit: Bytes up to which larger inputs are tried.
    """

    file: str
    dimensions: tuple[int, ...]
    channels: tuple[int, ...]
    size: int | None
    intensities: tuple[float, float] | None
    memory_limit: float


def run(task: Task, said: ModelReport, time_limit: float | None) -> ModelReport:
    """Try a model in another process.

    Args:
        task: The model and how to try it.
        said: What is known of it without running it.
        time_limit: Seconds; None for no limit.

    Raises:
        ModelFileError: Whatever is wrong with the model.
        RuntimeError: This Python does not know its own interpreter.
    """
    request = json.dumps({"task": asdict(task), "said": said.to_dict()})
    try:
        with answering("impact_plugin.models.trial_child") as ask:
            content, code = ask(request.encode(), time_limit)
    except subprocess.TimeoutExpired:
        message = (
            f'Model file "{task.file}" was stopped: it was not done after {time_limit:g} s.'
            " A loop in it may never end; where it is only slow, give it more "
            "(time_limit=, --time-limit)."
        )
        raise ModelStoppedError(message) from None
    if not content:
        message = (
            f'Model file "{task.file}" took down the process in which it was tried: it '
            f"{describe_exit(code)}. It would do the same to a program that "
            "registers with it."
        )
        raise ModelStoppedError(message)
    answer = json.loads(content)  # of which nothing is run here, whoever wrote it
    if "refused" in answer:
        raise ModelRefusedError(answer["refused"])
    if "error" in answer:
        raise ModelFileError(answer["error"])
    return msgspec.convert(answer["report"], ModelReport)
