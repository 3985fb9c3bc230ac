"""One training run: resumable, seeded, and its record."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from numpy.random import default_rng

from training.anatomy import pictures
from training.contrast import loss, placed
from training.network import Learned, Shape

EVERY = 100
"""Steps between two lines of the record, each with what can be resumed."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Args:
        seed: Of its first weights, and of all that is drawn.
        steps: How many pairs of pictures it sees.
        size: Voxels along each axis of a picture.
        rate: Largest learning rate; it warms up, and falls to nothing by a cosine.
        place: Weight of the error at which blocks would be put (contrast.placed); 0: not asked.
        begin: Folder of a finished run whose convolutions it begins with; empty: they are drawn.
    """

    seed: int = 1
    steps: int = 4000
    size: int = 44
    rate: float = 2e-3
    place: float = 0.0
    begin: str = ""


def train(shape: Shape, settings: Settings, folder: Path) -> Path:
    """Train a network, or go on where a run was left.

    Args:
        shape: The network's.
        settings: How.
        folder: Where the state, the record (record.jsonl) and the weights (weights.pt) are written.

    Returns:
        The file of the weights.

    Raises:
        ValueError: The folder has a run with other settings; or the run to begin with is not
            finished, or its convolutions are others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = Learned(shape)
    if settings.begin:
        _begin(network, Path(settings.begin))
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-4)
    warm = 100
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1.0, (step + 1) / warm)
            * 0.5
            * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, step / settings.steps)))).item()
        ),
    )
    state, record = folder / "state.pt", folder / "record.jsonl"
    head = json.dumps({"shape": shape.to_dict(), "settings": asdict(settings)})
    if record.exists() and (was := record.read_text().partition("\n")[0]) != head:
        message = f"{record} is of a run with {was}, not with {head}: give another folder"
        raise ValueError(message)
    done = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done = saved["done"]
    else:
        record.write_text(head + "\n")
    margin = 4
    begun, total, hits, left = time.monotonic(), 0.0, 0.0, 0.0
    for step in range(done, settings.steps):
        random = default_rng([settings.seed, step])  # the same whether resumed or not
        pair = pictures(settings.size, shape.dimension, random)
        fixed, moving = network(pair.fixed)[0][0], network(pair.moving)[0][0]
        sharp = network.temperature.exp()
        found, hit = loss(fixed * sharp, moving * sharp, pair, margin, random)
        if settings.place > 0:
            error = placed(fixed, moving, pair, margin, random)
            found, left = found + settings.place * error, left + error.item()
        optimizer.zero_grad()
        torch.autograd.backward(found)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total, hits = total + found.item(), hits + hit
        if (step + 1) % EVERY == 0:
            line = {
                "step": step + 1,
                "loss": round(total / EVERY, 4),
                "hits": round(hits / EVERY, 4),
                **({"left": round(left / EVERY, 4)} if settings.place > 0 else {}),
                "seconds": round(time.monotonic() - begun, 1),
            }
            with record.open("a") as file:
                file.write(json.dumps(line) + "\n")
            total, hits, left, begun = 0.0, 0.0, 0.0, time.monotonic()
            unfinished = state.with_suffix(".part")
            torch.save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "done": step + 1,
                },
                unfinished,
            )
            unfinished.replace(state)
    weights = folder / "weights.pt"
    torch.save({"shape": shape.to_dict(), "weights": network.state_dict()}, weights)
    return weights


def _begin(network: Learned, folder: Path) -> None:
    """Take over the convolutions of a finished run."""
    file = folder / "weights.pt"
    if not file.is_file():
        message = f"begin: there is no {file}: give the folder of a finished run"
        raise ValueError(message)
    saved = torch.load(file, weights_only=True)
    names = [name for name in network.state_dict() if name.startswith("convolutions.")]
    theirs = {name: saved["weights"].get(name) for name in names}
    if any(
        one is None or one.shape != network.state_dict()[name].shape for name, one in theirs.items()
    ):
        message = (
            f"begin: {file} has the shape {saved['shape']}, this run {network.shape.to_dict()}: "
            "give a run with the same dimension and convolutions"
        )
        raise ValueError(message)
    network.load_state_dict(network.state_dict() | theirs)
