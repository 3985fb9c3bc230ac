"""The process in which a model is tried: ``python -m impact_plugin.models.trial_child``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from impact_plugin import _core, _networks
from impact_plugin.elastix.child import die_with_caller
from impact_plugin.models.report import ModelReport
from impact_plugin.models.trial import Trial
from impact_plugin.models.trial_process import ModelRefusedError, Task


def main() -> None:
    """Read what to try on standard input, and write the answer to the file of that descriptor."""
    die_with_caller()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        request = json.load(sys.stdin)
        task = msgspec.convert(request["task"], Task)
        said = msgspec.convert(request["said"], ModelReport)
        json.dump(_answer(task, said), answers)


def _answer(task: Task, said: ModelReport) -> dict[str, Any]:
    try:
        trial = Trial(_networks.Network(task.file), Path(task.file), task.intensities)
        report = trial.report(said, task.dimensions, task.channels, task.size, task.memory_limit)
    except ModelRefusedError as error:
        return {"refused": str(error)}
    except _core.Error as error:
        return {"error": str(error)}
    except Exception as error:  # of torch, whose kinds are many
        return {"error": f'Model file "{task.file}" cannot be tried: {error}'}
    return {"report": report.to_dict()}


if __name__ == "__main__":
    main()
