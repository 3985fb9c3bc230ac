"""How a network wants its intensities, as steps that become part of the model file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from impact_plugin._errors import InputError
from impact_plugin._numbers import spread

if TYPE_CHECKING:
    from torch import Tensor

NormalizationKind = Literal["window", "zscore", "image_minmax", "image_zscore"]

_ALLOWED = (
    'Allowed: "none"; "window:LOWER:UPPER", which clamps to the window and maps it to 0 to 1; '
    '"zscore:MEAN:STD", one number each or one per channel joined by commas; "minmax" and '
    '"zscore", by the minimum and maximum, or the mean and standard deviation, of the whole image.'
)


@dataclass(frozen=True)
class Normalization:
    """One step of normalising: ``(clamped x - shift) / scale``.

    Args:
        kind: ``"window"`` (clamped to ``shift`` and ``shift + scale``, so the result goes from 0 to
            1) or ``"zscore"``, with the numbers below; ``"image_minmax"`` or ``"image_zscore"``,
            with those of the whole image, which the metric tells the model.
        shift: What is subtracted, one number or one per channel, in the unit of the intensities.
        scale: What it is then divided by, likewise.
    """

    kind: NormalizationKind
    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if len(self.shift) != len(self.scale) and 1 not in (len(self.shift), len(self.scale)):
            message = (
                f"normalization {self.kind}: {len(self.shift)} and {len(self.scale)} numbers, "
                "expected as many of the one as of the other, or one"
            )
            raise InputError(message)
        if not all(math.isfinite(number) for number in (*self.shift, *self.scale)):
            message = (
                f"normalization {self.kind}: {self.shift}, {self.scale}, expected finite numbers"
            )
            raise InputError(message)
        if not all(number > 0 for number in self.scale):
            if self.kind == "window":
                lower, upper = self.shift[0], self.shift[0] + self.scale[0]
                message = (
                    f"normalization window: LOWER is {lower:g} and UPPER is {upper:g}. "
                    "LOWER must be below UPPER."
                )
            else:
                shown = ", ".join(f"{number:g}" for number in self.scale)
                message = f"normalization {self.kind}: STD is {shown}, expected greater than 0."
            raise InputError(message)

    @classmethod
    def window(cls, lower: float, upper: float) -> Normalization:
        """Clamp to a window, of Hounsfield units say, and map it to 0 to 1."""
        return cls("window", (float(lower),), (float(upper) - float(lower),))

    @classmethod
    def zscore(cls, mean: float | Sequence[float], std: float | Sequence[float]) -> Normalization:
        """Subtract a mean and divide by a standard deviation, for all channels or for each."""
        return cls("zscore", _numbers(mean), _numbers(std))

    @property
    def of_image(self) -> bool:
        """Whether the numbers are those of the whole image."""
        return self.kind.startswith("image")

    def apply(self, x: Tensor, statistics: Tensor) -> Tensor:
        """Normalise a batch, as the model file does, for comparison with it.

        Args:
            x: Batch x channels x voxels.
            statistics: Minimum, maximum, mean and standard deviation of the whole image.
        """
        low, high, mean, sigma = (float(number) for number in statistics)
        if self.kind == "image_minmax":
            return (x - low) / max(high - low, 1e-6)
        if self.kind == "image_zscore":
            return (x - mean) / max(sigma, 1e-6)
        shape = (1, -1, *[1] * (x.dim() - 2))
        shift, scale = (x.new_tensor(numbers).view(shape) for numbers in (self.shift, self.scale))
        y = (x - shift) / scale
        return y.clamp(0, 1) if self.kind == "window" else y


def parse(steps: str | Normalization | Sequence[str | Normalization]) -> list[Normalization]:
    """Read steps of normalising, in the order in which they are done.

    Args:
        steps: One step or several, each a :class:`Normalization` or text:
            ``"none"``, ``"window:-1000:1000"``, ``"zscore:0.5:0.25"``,
            ``"zscore:0.485,0.456,0.406:0.229,0.224,0.225"``, ``"minmax"``, ``"zscore"``.

    Raises:
        ValueError: One of them cannot be read, or those of the whole image are not the first.
    """
    parts = [steps] if isinstance(steps, str | Normalization) else list(steps)
    result = [
        step
        for part in parts
        for step in ([part] if isinstance(part, Normalization) else _read(part))
    ]
    if any(step.of_image for step in result[1:]):
        message = (
            "normalization: minmax and zscore by the whole image's numbers must be the first step, "
            "since these are the numbers of the image as it is"
        )
        raise InputError(message)
    return result


def _read(text: str) -> list[Normalization]:
    name, *arguments = text.strip().lower().split(":")
    try:
        numbers = [[float(number) for number in part.split(",")] for part in arguments]
    except ValueError:
        numbers = []
        name = ""
    if name == "none" and not numbers:
        return []
    if name == "minmax" and not numbers:
        return [Normalization("image_minmax")]
    if name == "zscore" and not numbers:
        return [Normalization("image_zscore")]
    if name == "zscore" and len(numbers) == 2:
        return [Normalization.zscore(*numbers)]
    if name == "window" and [len(part) for part in numbers] == [1, 1]:
        return [Normalization.window(numbers[0][0], numbers[1][0])]
    message = f'normalization "{text}" is not known. {_ALLOWED}'
    raise InputError(message)


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(number) for number in spread(value, 1))
