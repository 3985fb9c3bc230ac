"""The two registrations of the demo: the lung CT pair of elastix's test data."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import impact_plugin
from impact_plugin import datasets
from impact_plugin.demo import pictures
from impact_plugin.evaluation import LandmarkErrors, read_points
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import from_elastix
from impact_plugin.transforms.chain import Chain

_AIR_HU = -1000


@dataclass(frozen=True)
class Run:
    """One registration: a name for its files, its parameter file and a title."""

    name: str
    parameter_map: str
    title: str


RUNS = (
    Run("jacobian", "ct_cbct.txt", "Jacobian mode, TotalSegmentator layer"),
    Run("static", "mind.txt", "Static mode, MIND"),
)


class LungPair:
    """The pair of images, its landmarks, and the output folder of its registrations.

    Args:
        data: The images, landmarks and the affine transform.
        out: Folder to write to; it is made if needed.
        maps: Folder of the parameter files.
        iterations: Iterations of each level; None: as the parameter files say.
        threads: Threads of elastix; None: all processors.

    Attributes:
        number_of_points: How many landmarks lie inside the fixed image; only these count.
    """

    def __init__(
        self,
        data: datasets.LungPair,
        out: Path,
        maps: Path,
        iterations: int | None,
        threads: int | None,
    ) -> None:
        self._data = data
        self._out = out
        self._maps = maps
        self._iterations = iterations
        self._threads = threads
        self._fixed = sitk.ReadImage(str(data.fixed))
        self._moving = sitk.ReadImage(str(data.moving))
        points = read_points(data.fixed_points).positions
        inside = Geometry.of(self._fixed).contains(points)
        self._points = points[inside]
        self._truth = read_points(data.moving_points).positions[inside]
        self.number_of_points = len(self._points)
        affine = from_elastix.to_sitk(Chain.read(data.initial_transform), 3)
        self._before = {"unregistered": sitk.Transform(3, sitk.sitkIdentity), "affine": affine}

    def errors_before(self, name: str) -> LandmarkErrors:
        """Give the errors of the landmarks ``"unregistered"``, or after the ``"affine"`` start."""
        transform = self._before[name]
        mapped = [transform.TransformPoint(point) for point in self._points.tolist()]
        return LandmarkErrors.between(np.array(mapped), self._truth)

    def register(self, run: Run) -> tuple[LandmarkErrors, dict[str, float]]:
        """Do one registration, write its result and draw its picture.

        Returns:
            The errors of the landmarks, and the seconds by stage.

        Raises:
            RegistrationError: elastix failed.
        """
        folder = self._out / run.name
        result = impact_plugin.register_images(
            self._data.fixed,
            self._data.moving,
            parameter_maps=self._maps / run.parameter_map,
            initial_transform=self._data.initial_transform,
            models=self._data.model.parent,
            iterations=self._iterations,
            threads=self._threads,
            output_directory=folder,
            callback=None if sys.stderr.isatty() else _print_some,
        )
        pictures.overlay(
            self._fixed,
            {
                **{
                    name: sitk.Resample(
                        self._moving, self._fixed, transform, sitk.sitkLinear, _AIR_HU
                    )
                    for name, transform in self._before.items()
                },
                "registered": result.image,
            },
            run.title,
            self._out / f"{run.name}.png",
        )
        mapped = result.map_points(self._points)
        return LandmarkErrors.between(mapped, self._truth), result.timings


def _print_some(iteration: impact_plugin.Iteration) -> None:
    """Print progress where there is no terminal for a bar."""
    if iteration.number % 50 == 0:
        print(
            f"  level {iteration.level + 1}  iteration {iteration.number:3d}"
            f"  metric {iteration.metric:10.6f}",
            flush=True,
        )
