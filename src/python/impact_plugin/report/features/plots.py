"""Draws montages of the channels over the image, and the curves of the scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin.report import pictures
from impact_plugin.report.features.scans import Sharpness

_MOST_CHANNELS = 64
_TILE = 150  # pixels


def montage(
    grey: NDArray[np.uint8], features: NDArray[np.float32], limits: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Draw each channel in colours over a slice of the image, side by side.

    Args:
        grey: The slice, (rows, columns).
        features: Features at the same pixels, (rows, columns, channels).
        limits: Values of each channel shown darkest and brightest, (2, channels).

    Returns:
        Bytes, (rows, columns, 3); the channels are numbered, row by row.
    """
    import matplotlib as mpl
    from PIL import Image, ImageDraw

    count = min(features.shape[-1], _MOST_CHANNELS)
    scale = _TILE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    columns = min(count, max(1, math.ceil(math.sqrt(count * size[1] / size[0] * 1.6))))
    rows = math.ceil(count / columns)
    below = pictures.resized(grey, size).astype(np.float32)[..., None]
    sheet = np.full((rows * (size[1] + 4), columns * (size[0] + 4), 3), 255, np.uint8)
    for channel in range(count):
        low, high = limits[:, channel]
        scaled = np.clip((features[..., channel] - low) / max(high - low, 1e-12), 0, 1)
        colour = mpl.colormaps["viridis"](pictures.resized(scaled, size), bytes=True)[..., :3]
        tile = (0.3 * below + 0.7 * colour).astype(np.uint8)
        top = (channel // columns) * (size[1] + 4) + 2
        left = (channel % columns) * (size[0] + 4) + 2
        sheet[top : top + size[1], left : left + size[0]] = tile
    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for channel in range(count):
        place = (
            (channel % columns) * (size[0] + 4) + 5,
            (channel // columns) * (size[1] + 4) + 3,
        )
        draw.text(place, str(channel), fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(picture)


def curves(found: Sequence[Sharpness]) -> Any:  # noqa: ANN401  (a figure)
    """Draw the normalized metric against the shift: layers in rows, axes in columns."""
    layers = list(dict.fromkeys(each.layer for each in found))
    axes = [curve.axis for curve in found[0].curves]
    made = pictures.figure(3.4 * len(axes) + 1.2, 2.5 * len(layers) + 0.4)
    panels = made.subplots(len(layers), len(axes), squeeze=False, sharex=True, sharey=True)
    for row, layer in enumerate(layers):
        for each in (each for each in found if each.layer == layer):
            for column, curve in enumerate(each.curves):
                panels[row, column].plot(
                    curve.shifts, curve.normalized, label=each.distance, linewidth=1.3
                )
        for column, axis in enumerate(axes):
            panel = panels[row, column]
            panel.axvline(0.0, color="#1c2630", linewidth=0.8)
            panel.grid(alpha=0.3)
            panel.set_title(f"layer {layer}, along {axis}", fontsize=10)
            if row == len(layers) - 1:
                panel.set_xlabel("shift (mm)")
        panels[row, 0].set_ylabel("metric, 0 to 1")
    made.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return made
