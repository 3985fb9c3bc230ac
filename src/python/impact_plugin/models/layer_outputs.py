"""The outputs of named submodules of a torch module, computed no deeper than needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from impact_plugin.models.errors import ExportError


class _AllFound(Exception):
    pass


class LayerOutputs(nn.Module):
    """Runs a module until all of some submodules have given their outputs.

    Args:
        module: The network.
        names: Names of submodules, as ``named_modules()`` has them; ``""`` is the network itself.
        copied: Those whose outputs are changed in place afterwards.
    """

    def __init__(
        self, module: nn.Module, names: Sequence[str], copied: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        self.module = module
        self.names = list(names)
        self.copied = copied

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the outputs in the order of the names."""
        found: dict[str, Tensor] = {}

        def keep(name: str, output: object) -> None:
            if isinstance(output, list | tuple) and len(output) == 1:
                output = output[0]
            if not isinstance(output, Tensor):
                message = (
                    f'Layer "{name}" gives {type(output).__name__}, and not a tensor. Name a '
                    "submodule that gives one."
                )
                raise ExportError(message)
            if name not in found:
                found[name] = output.clone() if name in self.copied else output
            if len(found) == len(self.names):
                raise _AllFound

        def hook(name: str) -> Any:  # noqa: ANN401  (torch's type of a hook)
            return lambda _module, _inputs, output: keep(name, output)

        handles = [
            self.module.get_submodule(name).register_forward_hook(hook(name)) for name in self.names
        ]
        try:
            self.module(x)
        except _AllFound:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [found[name] for name in self.names]


def check_names(module: nn.Module, names: Sequence[str]) -> None:
    """Check that names are those of different submodules.

    Raises:
        ExportError: One is not, with the nearest that are, or there is none.
    """
    from difflib import get_close_matches

    known = [name for name, _ in module.named_modules()]
    if not names:
        message = f"No layers are named. The submodules: {', '.join(filter(None, known))}."
        raise ExportError(message)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 5, 0.4) or known[1:11]
            message = (
                f'Layer "{name}" is no submodule of {type(module).__name__}. Nearest: '
                f'{", ".join(near)}. named_modules() lists all; "" is the network itself.'
            )
            raise ExportError(message)
    if len(set(names)) < len(names):
        message = f"Layers are named twice: {', '.join(names)}."
        raise ExportError(message)


def changed_in_place(module: nn.Module, names: Sequence[str], x: Tensor) -> frozenset[str]:
    """Find the layers whose outputs the network changes afterwards, as an in-place ReLU does.

    Raises:
        ExportError: A layer does not run, or runs more than once, so that its name says too little.
    """
    calls: dict[str, list[tuple[Any, int]]] = {name: [] for name in names}

    def hook(name: str) -> Any:  # noqa: ANN401  (torch's type of a hook)
        return lambda _module, _inputs, output: calls[name].append(
            (output, output._version if isinstance(output, Tensor) else 0)
        )

    handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        with torch.no_grad():
            module(x)
    finally:
        for handle in handles:
            handle.remove()
    for name, outputs in calls.items():
        if len(outputs) != 1:
            how = f"runs {len(outputs)} times" if outputs else "does not run"
            message = (
                f'Layer "{name}" {how} when {type(module).__name__} does. Name a submodule that '
                "runs once: the one around it, or the one after it."
            )
            raise ExportError(message)
    return frozenset(
        name
        for name, ((output, version),) in calls.items()
        if isinstance(output, Tensor) and output._version != version
    )
