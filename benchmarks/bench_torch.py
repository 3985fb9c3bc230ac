"""What `make bench` needs torch for: its networks of random weights, and what the machine can do.

    python benchmarks/bench_torch.py FOLDER THREADS

Writes the networks into the folder and prints `{"bandwidth": bytes/s, "rate": flop/s}`. In a
process of its own: one that is started by a process with much memory has that as its peak, too.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_cases import FIELD, RANDOM_NETWORKS, Network
from benchmarks.field_network import Segmenter, save

BUFFER = 64 * 2**20  # floats: far more than any cache holds
MATRIX = 2048


class Layers(torch.nn.Module):
    """A network of convolutions, each with instance norm and leaky ReLU; returns some of them."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.steps = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Conv3d(inputs, outputs, 3, int(stride), padding=1),
                torch.nn.InstanceNorm3d(outputs, affine=True),
                torch.nn.LeakyReLU(0.01),
            )
            for inputs, outputs, stride in network.convolutions
        )
        self.outputs = network.outputs

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Give the layers for images (N, 1, D, H, W)."""
        layers = []
        for number, step in enumerate(self.steps):
            image = step(image)
            if number in self.outputs:
                layers.append(image)
        return layers


def write(network: Network, path: Path) -> None:
    """Write a network with random weights, the same every time, as TorchScript."""
    torch.manual_seed(0)
    module = Layers(network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and what the models are
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            module, torch.rand(1, 1, 8, 8, 8), strict=False
        )
        torch.jit.save(traced, path)


def best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several tries, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def probe(threads: int) -> dict[str, float]:
    """Measure this machine with so many threads.

    Returns:
        bandwidth: Bytes per second that a copy reads and writes.
        rate: Floating point operations per second of a float32 matrix product.
    """
    torch.set_num_threads(threads)
    source, target = torch.ones(BUFFER), torch.zeros(BUFFER)
    copied = best(lambda: target.copy_(source), 5)
    left, right = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    multiplied = best(lambda: torch.mm(left, right), 10)
    return {"bandwidth": 2 * 4 * BUFFER / copied, "rate": 2 * MATRIX**3 / multiplied}


if __name__ == "__main__":
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    for network in RANDOM_NETWORKS:
        if not network.file:
            write(network, folder / f"{network.name}.pt")
    save(Segmenter(), folder / f"{FIELD[0].file}.pt")
    print(json.dumps(probe(threads)))
