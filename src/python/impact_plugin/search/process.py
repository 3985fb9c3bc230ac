"""A search in a process of its own, which torch is imported into while images are made smaller."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import ImpactError, InputError
from impact_plugin.elastix.process import Ask, answering, describe_exit
from impact_plugin.search import SearchKind, is_sure
from impact_plugin.search.bending import spline
from impact_plugin.search.coarse import levels_of

if TYPE_CHECKING:
    import SimpleITK as sitk


class SearchError(ImpactError, RuntimeError):
    """A search whose process failed; the message says how."""


_WITHOUT = (
    'Search on another device (device="cpu"), or register without a search: initial_transform is '
    '"none", "center", "mass" or a transform'
)

SearchError.__module__ = "impact_plugin"


@dataclass(frozen=True)
class Found:
    """A linear transform T(x) = A x + b, from the fixed to the moving image, and how sure it is.

    Args:
        matrix: A, (d, d).
        offset: b, mm.
        score: Of it, 1 at most.
        runner_up: Of the best place that is elsewhere; None: there is none.
        bending: u of T(x) = A (x + u(x)) + b, of a deformable search.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    score: float
    runner_up: float | None
    bending: sitk.BSplineTransform | None = None

    @property
    def is_sure(self) -> bool:
        """Whether no other place is nearly as good."""
        return is_sure(self.score, self.runner_up)


def started() -> contextlib.AbstractContextManager[Ask]:
    """Start the process of a search, which imports torch while images are read; see `find`."""
    # Each worker has one thread of torch's, so that sums do not depend on their number.
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return answering("impact_plugin.search.child", one_thread)


def find(
    images: tuple[sitk.Image, sitk.Image],
    masks: tuple[sitk.Image | None, sitk.Image | None],
    *,
    kind: SearchKind,
    device: str = "cpu",
    threads: int | None = None,
    model: Path | None = None,
    layer: int = 0,
    ask: Ask | None = None,
) -> Found:
    """Find where the fixed image is in the moving one.

    Args:
        images: The fixed and the moving image, grey.
        masks: Where to look in them; None: everywhere.
        kind: What to find.
        device: Where features and scores are computed, as torch calls it.
        threads: How many work; None: one for each processor. The result does not depend on it.
        model: TorchScript file of the network whose features are compared; None: MIND.
        layer: Which of its outputs, from 0.
        ask: What `started` gave; by default another is started.

    Raises:
        ValueError: An image has no structure, or the network does not take it.
        SearchError: The process failed.
    """
    with started() if ask is None else contextlib.nullcontext(ask) as ask_child:
        levels, contents = levels_of(images, masks, 2 if kind == "rigid" else 3)
        arrays: dict[str, Any] = {
            "centres": np.stack([each.centre for each in contents]),
            "radii": np.array([each.radius for each in contents]),
        }
        for number, pair in enumerate(levels):
            for name, image in zip(("fixed", "moving"), pair, strict=True):
                arrays[f"{name}{number}"] = image.values
                arrays[f"in_{name}{number}"] = image.inside
            arrays[f"origins{number}"] = np.stack([image.origin for image in pair])
            arrays[f"spacing{number}"] = np.array(pair[0].spacing)
        task = {
            "kind": kind,
            "model": None if model is None else str(model),
            "layer": layer,
            "device": device,
            "threads": threads or len(os.sched_getaffinity(0)),
            "levels": len(levels),
        }
        content = io.BytesIO()
        np.savez(content, task=np.array(json.dumps(task)), **arrays)
        answer, code = ask_child(content.getvalue(), None)
    if not answer:
        message = (
            f"the process that searched for a start {describe_exit(code)}; what it said is on "
            f"standard error. {_WITHOUT}"
        )
        raise SearchError(message)
    read = np.load(io.BytesIO(answer), allow_pickle=False)
    said = json.loads(str(read["said"]))
    if "refused" in said:
        message = f'Model file "{model}" cannot be searched with: it {said["refused"]}'
        raise InputError(message)
    if "error" in said:
        message = f"the search for a start failed on {device}: {said['error']}. {_WITHOUT}"
        raise SearchError(message)
    best, *others = said["places"]
    return Found(
        np.array(best["matrix"]),
        np.array(best["offset"]),
        best["score"],
        others[0]["score"] if others else None,
        None if kind != "deformable" else spline(read["field"], levels[-1][0], images[0]),
    )
