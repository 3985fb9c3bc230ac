"""Everything that holds at one resolution level."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from impact_plugin import _devices
from impact_plugin._arguments import check_choice, check_flag, check_number, integer
from impact_plugin._deprecated import renamed_arguments, warn_of_old_name
from impact_plugin._errors import InputError
from impact_plugin._numbers import keep_plain
from impact_plugin.parameters.network import Model

Mode = Literal["Static", "Jacobian"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution level of the metric.

    Attributes:
        models: The networks; one alone need not be in a list.
        mode: "Static": features of both images are made once per level. "Jacobian": features of
            patches around every sample at each evaluation, differentiated through the network.
        device: Where the networks run: "cpu", "cuda" (the first GPU) or "cuda:1".
        mixed_precision: Half precision for networks on a GPU, where torch finds that safe, and for
            feature maps in Static mode, which then take half the memory.
        normalize_losses: Whether each layer's distance is divided by its own value at the level's
            first evaluation, so that each starts at its weight.
        mutual_information_weight: Times the mutual information of the intensities at the samples,
            nats, which is taken from the sum that is the metric. From 0, none, up.
        bending_energy_weight: Times the bending energy of the displacement, in the sum that is the
            metric; ``docs/parameters.md`` has the formula. From 0, none, up. For B-splines.
        bending_energy_limit: What the bending of the transform with which the level starts may
            cost: weight times energy. Where it is more, the weight becomes as much less. From 0, no
            limit, up.
        update_interval: Iterations after which the moving features are made anew; 0: never. Static
            mode only.
        feature_maps: Where feature maps are written: a folder; "true" for ``FeatureMaps`` in the
            output folder; empty: nowhere. Static mode only.

    Raises:
        ValueError: A value is not allowed, or has no effect in that mode or on that device.
        TypeError: `normalize_losses` is no truth value, or a number no number.
    """

    models: Model | Sequence[Model]
    mode: Mode = "Jacobian"
    device: str = "cpu"
    mixed_precision: bool = False
    normalize_losses: bool = False
    mutual_information_weight: float = 0.0
    bending_energy_weight: float = 0.0
    bending_energy_limit: float = 0.0
    update_interval: int = 0
    feature_maps: str | os.PathLike[str] = ""

    def __post_init__(self) -> None:
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep_plain(self)
        keep("models", (self.models,) if isinstance(self.models, Model) else tuple(self.models))
        if not self.models:
            message = "models is empty. Give at least one Model."
            raise InputError(message)
        check_choice("mode", self.mode, get_args(Mode))
        check_flag("normalize_losses", self.normalize_losses)
        for name in (
            "mutual_information_weight",
            "bending_energy_weight",
            "bending_energy_limit",
        ):
            keep(name, _from_zero(name, getattr(self, name)))
        keep("device", _devices.from_argument(self.device))
        keep("update_interval", max(0, integer("update_interval", self.update_interval, -1)))
        keep("feature_maps", _folder(os.fspath(self.feature_maps)))
        self._check_patch_sizes()
        self._check_effects()

    @property
    def pairs(self) -> tuple[Model, ...]:
        """The models, as a tuple for type checkers."""
        return (self.models,) if isinstance(self.models, Model) else tuple(self.models)

    @property
    def gpu(self) -> int:
        """Former name of ``device``: the GPU's number, -1 for the CPU."""
        warn_of_old_name("Level.gpu", "Level.device")
        return _devices.number_of(self.device)

    @renamed_arguments(gpu=("device", _devices.name_of))
    def on(self, device: str) -> Level:
        """Give the level on another device.

        Args:
            device: "cpu", "cuda" or "cuda:1". The CPU computes in single precision: there,
                ``mixed_precision`` stays in Static mode alone.

        Raises:
            ValueError: There is no such kind of device.
        """
        name = _devices.from_argument(device)
        mixed = self.mixed_precision and (name != "cpu" or self.mode == "Static")
        return dataclasses.replace(self, device=name, mixed_precision=mixed)

    def _check_patch_sizes(self) -> None:
        for model in self.pairs:
            for network in model.networks:
                if self.mode == "Jacobian" and 0 in (network.patch_voxels or ()):
                    message = (
                        f"patch_size of {network.path!r} is 0, the whole image, which is "
                        "possible in Static mode only. Give the patch around each sample in "
                        "voxels, or None for what the network sees."
                    )
                    raise InputError(message)

    def _check_effects(self) -> None:
        useless = {
            "mixed_precision in Jacobian mode on the CPU; give device": self.mixed_precision
            and self.device == "cpu"
            and self.mode == "Jacobian",
            "bending_energy_limit without bending_energy_weight": self.bending_energy_limit > 0
            and self.bending_energy_weight == 0,
            "update_interval in Jacobian mode": self.mode == "Jacobian"
            and self.update_interval > 0,
            "feature_maps in Jacobian mode": self.mode == "Jacobian" and bool(self.feature_maps),
        }
        for what, is_useless in useless.items():
            if is_useless:
                message = f"Without effect: {what}."
                raise InputError(message)


Level.__init__ = renamed_arguments(gpu=("device", _devices.name_of))(Level.__init__)  # type: ignore[method-assign]


def _from_zero(name: str, value: float | None) -> float:
    check_number(name, value)
    number = math.nan if value is None else float(value)
    if not number >= 0:
        message = f"{name} is {value!r}. Allowed: a number from 0 up; 0: none."
        raise InputError(message)
    return number


def _folder(text: str) -> str:
    # The parser's rule: both words in lower case.
    if text.lower() == "false":
        return ""
    if text and not text.strip():
        message = f'feature_maps is {text!r}. Allowed: a folder, "true", or "" for none.'
        raise InputError(message)
    return "true" if text.lower() == "true" else text
