"""The process in which a search runs: ``python -m impact_plugin.search.child``."""

from __future__ import annotations

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from impact_plugin._mind import MindSSC
from impact_plugin.elastix.child import die_with_caller
from impact_plugin.search.correlation import Extractor, Level
from impact_plugin.search.linear import Balls, search


def main() -> None:
    """Read what to search on standard input, and write the answer to the descriptor given."""
    die_with_caller()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
        json.dump(_answer(given), answers)


def _answer(given: Any) -> dict[str, Any]:  # noqa: ANN401  (of numpy.load)
    task = json.loads(str(given["task"]))
    device = torch.device(task["device"])
    levels = [_level(given, number, device) for number in range(task["levels"])]
    balls = Balls((given["centres"][0], given["centres"][1]), tuple(given["radii"].tolist()))
    try:
        with ThreadPoolExecutor(task["threads"]) as workers:
            places = search(
                levels, balls, _mind(levels[0].dimension), workers, affine=task["affine"]
            )
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        return {"error": str(error).splitlines()[0]}
    return {
        "places": [
            {"matrix": p.matrix.tolist(), "offset": p.offset.tolist(), "score": p.score}
            for p in places
        ]
    }


def _level(given: Any, number: int, device: torch.device) -> Level:  # noqa: ANN401
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(given[f"{name}{number}"]).to(device)

    origins = given[f"origins{number}"]
    return Level(
        (tensor("fixed"), tensor("in_fixed")),
        (tensor("moving"), tensor("in_moving")),
        (origins[0], origins[1]),
        float(given[f"spacing{number}"]),
    )


def _mind(dimension: int) -> Extractor:
    network = MindSSC(1, 1, dimension)
    return lambda image: network(image)[0]


if __name__ == "__main__":
    main()
