"""Turns arrays into small pictures, and pictures into text for an HTML page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_QUALITY = 78


@dataclass(frozen=True)
class Window:
    """The intensities shown as black and as white."""

    black: float
    white: float

    @classmethod
    def of(cls, array: NDArray[Any]) -> Window:
        """Choose it from an image, ignoring the few darkest and brightest voxels."""
        values = array.ravel()
        values = values[:: max(1, values.size // 500_000)]
        black, white = np.percentile(values, (0.5, 99.5))
        if black == white:
            black, white = values.min(), values.max()
        return cls(float(black), float(white) if white > black else float(black) + 1.0)

    def shared(self, other: Window) -> tuple[Window, Window]:
        """Give one window for both images if theirs mostly overlap, otherwise each its own."""
        low, high = min(self.black, other.black), max(self.white, other.white)
        common = min(self.white, other.white) - max(self.black, other.black)
        return (Window(low, high),) * 2 if common > 0.6 * (high - low) else (self, other)

    def grey(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        """Map intensities to 0..255."""
        scaled = (array.astype(np.float32) - self.black) * (255.0 / (self.white - self.black))
        grey: NDArray[np.uint8] = np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
        return grey

    def __str__(self) -> str:
        return f"{self.black:.4g} to {self.white:.4g}"


def resized(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resample a slice, shape (rows, columns) or (rows, columns, 3), to another size in pixels.

    Args:
        array: Bytes or floats.
        size: Width and height in pixels. Shrinking averages.
    """
    from PIL import Image

    if array.dtype != np.uint8:
        array = array.astype(np.float32)
        if array.ndim == 3:
            channels = [resized(array[..., i], size) for i in range(array.shape[2])]
            return np.stack(channels, axis=-1)
    picture = Image.fromarray(np.ascontiguousarray(array))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def webp(array: NDArray[np.uint8], lossless: bool = False) -> str:
    """Encode a picture, shape (rows, columns) or (rows, columns, 3 or 4), as WebP in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array))
    picture.save(buffer, "WEBP", quality=_QUALITY, method=3, lossless=lossless)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def uri(encoded: str) -> str:
    """Give the ``src`` attribute of an encoded picture."""
    return f"data:image/webp;base64,{encoded}"


def figure(width: float, height: float) -> Figure:
    """Make a figure without a display and without matplotlib's global state.

    Args:
        width: Inches.
        height: Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def figure_array(made: Figure, dpi: int = 110) -> NDArray[np.uint8]:
    """Draw a figure as an array of shape (rows, columns, 3)."""
    from PIL import Image

    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return np.asarray(Image.open(buffer).convert("RGB"))


def figure_uri(made: Figure, dpi: int = 110) -> str:
    """Draw a figure and give its ``src`` attribute."""
    return uri(webp(figure_array(made, dpi), lossless=True))
