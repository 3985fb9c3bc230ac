"""The memory of a cohort's pair at its peak, worker and elastix together, and as predicted.

    python benchmarks/cohort_memory.py out/memory

Pairs of synthetic images, one after the other, on one worker with one thread: what the prediction
in `impact_plugin.cohort.tasks` is fitted to.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import SimpleITK as sitk

from impact_plugin import cohort
from impact_plugin.cohort import preflight, tasks
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.plan import Variant

CASES = (
    # voxels along each axis, their size, their type, presets
    (64, 1.5, np.int16, ("mind",)),
    (128, 1.5, np.int16, ("mind",)),
    (128, 1.5, np.int16, ("affine_mind", "mind")),
    (192, 1.5, np.int16, ("mind",)),
    (256, 1.0, np.int16, ("rigid_mind",)),
    (256, 1.0, np.int16, ("mind",)),
    (256, 1.0, np.float32, ("mind",)),
)
ITERATIONS = 5


def write_image(path: Path, size: int, spacing: float, kind: type, shift: float) -> None:
    """Write a smooth pattern."""
    x, y, z = np.meshgrid(*3 * [np.arange(size) * spacing + shift], indexing="ij", sparse=True)
    pattern = 500 * (np.sin(x / 17) + np.cos(y / 23) + np.sin(z / 29 + 1))
    image = sitk.GetImageFromArray(pattern.astype(kind))
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))


class Peak(threading.Thread):
    """The most that the processes which this one started had together, bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.end = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self.end.wait(0.1):
            used = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    used += child.memory_info().rss
                except psutil.Error:  # it has ended
                    continue
            self.bytes = max(self.bytes, used)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| Image | Spacing, mm | Preset | Predicted, MiB | Measured, MiB |\n|---|---|---|---|---|"
    )
    for size, spacing, kind, presets in CASES:
        files = {}
        for side, shift in (("fixed", 0.0), ("moving", 1.5)):
            path = given.folder / f"{side}.mha"
            write_image(path, size, spacing, kind, shift)
            files[side] = str(path)
        pair = cohort.Pair("pair", files, options={"iterations": ITERATIONS, "seed": 0})
        _, headers = preflight.check_pairs([pair])
        variant = Variant("one", presets)
        with Maps([variant], None) as maps:
            assert not maps.check([pair], headers)
            predicted = tasks.predict(pair, variant, maps, headers)
        shutil.rmtree(given.folder / "out", ignore_errors=True)
        peak = Peak()
        peak.start()
        result = cohort.register_cohort(
            [pair], given.folder / "out", variants=[presets], workers=1, threads=1, progress=False
        )
        peak.end.set()
        peak.join()
        assert not result.failed, result.table["error"][0]
        what = f"{size} x {size} x {size}, {'float' if kind is np.float32 else '16 bit'}"
        print(
            f"| {what} | {spacing} | `{'+'.join(presets)}` "
            f"| {predicted >> 20} | {peak.bytes >> 20} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
