"""The process in which a search runs: ``python -m impact_plugin.search.child``."""

from __future__ import annotations

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impact_plugin import _devices
from impact_plugin._mind import MindSSC
from impact_plugin.elastix.child import die_with_caller
from impact_plugin.search.convex import displacements
from impact_plugin.search.correlation import Extractor, Level
from impact_plugin.search.linear import Balls, search

_MULTIPLE = 32
"""Sizes of a network's input are multiples of it: five strides of 2."""


def main() -> None:
    """Read what to search on standard input, and write the answer to the descriptor given."""
    die_with_caller()
    torch.backends.cudnn.allow_tf32 = False  # convolutions on a GPU, as the metric's
    with os.fdopen(int(sys.argv[1]), "wb") as answers:
        given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
        said, field = _answer(given)
        np.savez(answers, said=np.array(json.dumps(said)), field=field)
    # Autograd's threads may still hold tensors of a GPU, and a Python that ends then aborts.
    sys.stdout.flush()
    os._exit(0)


def _answer(given: Any) -> tuple[dict[str, Any], NDArray[np.float32]]:  # noqa: ANN401  (numpy.load)
    """Give what is to be said, and the displacements, which are empty without any."""
    task = json.loads(str(given["task"]))
    device = torch.device(_devices.in_torch(task["device"]))
    balls = Balls((given["centres"][0], given["centres"][1]), tuple(given["radii"].tolist()))
    try:
        levels = [_level(given, number, device) for number in range(task["levels"])]
        with ThreadPoolExecutor(task["threads"]) as workers:
            if task["model"] is None:
                extract = _mind(levels[0].dimension)
            else:
                extract = _network(task["model"], task["layer"], levels[0].fixed[0][None, None])
            kind = task["kind"]
            places = search(levels, balls, extract, workers, affine=kind == "affine")
            field = torch.empty(0)
            if kind == "deformable":
                with torch.no_grad():
                    field = displacements(levels[1:], places[0], extract, workers)
    except RefusedError as error:
        return {"refused": str(error)}, np.empty(0, np.float32)
    except (MemoryError, RuntimeError) as error:  # of torch: also out of memory on a GPU
        return {"error": (str(error) or "memory ran out").splitlines()[0]}, np.empty(0, np.float32)
    found = [
        {"matrix": place.matrix.tolist(), "offset": place.offset.tolist(), "score": place.score}
        for place in places
    ]
    return {"places": found}, field.cpu().numpy()


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


class RefusedError(Exception):
    """A network that takes none of the inputs tried, or has no such layer; the message says so."""


def _network(file: str, layer: int, image: Tensor) -> Extractor:
    """Give a layer of a TorchScript network, in the image's grid.

    Args:
        file: The model.
        layer: Number of the layer, from 0.
        image: A grey image (1, 1, [D,] H, W), to try it with.

    Raises:
        RefusedError: It takes neither one channel nor three of them, or has fewer layers.
    """
    network = torch.jit.load(file, map_location=image.device).eval()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    spatial = {2: "bilinear", 3: "trilinear"}[image.dim() - 2]

    def extract(images: Tensor, channels: int) -> Tensor:
        sizes = images.shape[2:]
        wide = images
        for axis, size in enumerate(sizes):  # to what strided networks can divide
            margin = [0, 0] * (len(sizes) - 1 - axis) + [0, -size % _MULTIPLE]
            wide = functional.pad(wide, margin + [0] * (2 * len(sizes) - len(margin)), "replicate")
        found = network(wide.expand(-1, channels, *wide.shape[2:]))
        layers = [found] if isinstance(found, Tensor) else list(found)
        if layer >= len(layers):
            message = f"has {len(layers)} layers, and layer is {layer}: 0 to {len(layers) - 1}"
            raise RefusedError(message)
        features: Tensor = functional.interpolate(layers[layer], wide.shape[2:], mode=spatial)
        for axis, size in enumerate(sizes):
            features = features.narrow(axis + 2, 0, size)
        return features

    refused = ""
    for channels in (1, 3):
        try:
            with torch.no_grad():
                extract(image, channels)
        except RuntimeError as error:  # torch's; the last lines are the cause
            refused = str(error).strip().splitlines()[-1]
        else:
            return partial(extract, channels=channels)
    message = f"takes no image of 1 or 3 channels and {image.dim() - 2} dimensions: {refused}"
    raise RefusedError(message)


if __name__ == "__main__":
    main()
