"""The two registrations of the demo: the lung CT pair of elastix's test data."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from impact_plugin import models
from impact_plugin.demo import landmarks, metaimage, pictures, runs

_LAYER = "M730_1_Layers.pt"
_MIND = "MIND_R1D2_3D.pt"


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


class Data:
    """Paths of elastix's test data, below its ``Testing`` folder."""

    def __init__(self, folder: Path) -> None:
        self.fixed = folder / "Data/3DCT_lung_baseline.mha"
        self.moving = folder / "Data/3DCT_lung_followup.mha"
        self.affine = folder / "Data/transformparameters.3DCT_lung.affine.txt"
        self.landmarks = folder / "Data/3DCT_lung_baseline_landmarks.txt"
        self.truth = folder / "Baselines/3DCT_lung_groundtruth_point.txt"
        self.layer = folder / "Data" / _LAYER

    def missing(self) -> list[Path]:
        """Give the files that are not there."""
        return [path for path in vars(self).values() if not path.is_file()]


class LungPair:
    """The pair of images, its landmarks, and the output folder of its registrations.

    Args:
        data: Where the images and landmarks are.
        out: Folder to write to, absolute; it is made if needed.
        maps: Folder of the parameter files.
        iterations: Iterations of each level; None as the parameter files say.
        threads: Threads of elastix; None for all.

    Attributes:
        number_of_points: How many landmarks lie inside the fixed image; only these count.
        unregistered: Their errors before anything is done.
    """

    def __init__(
        self, data: Data, out: Path, maps: Path, iterations: int | None, threads: int | None
    ) -> None:
        self._data = data
        self._out = out
        self._maps = maps
        self._iterations = iterations
        self._threads: list[str | Path] = [] if threads is None else ["-threads", str(threads)]
        self._fixed = metaimage.read(data.fixed)
        points = landmarks.read_points(data.landmarks)
        self._inside = self._fixed.contains(points)
        self._truth = landmarks.read_points(data.truth)[self._inside]
        self.number_of_points = int(self._inside.sum())
        self.unregistered = landmarks.Errors.between(points[self._inside], self._truth)

    def prepare(self) -> landmarks.Errors:
        """Write the models and warp the moving image by the initial transform.

        Returns:
            The errors of the landmarks after the initial transform, which is affine.

        Raises:
            RunError: transformix failed.
        """
        (self._out / "models").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._data.layer, self._out / "models" / _LAYER)
        models.mind(radius=1, dilation=2, dimension=3, path=self._out / "models" / _MIND)

        affine = self._data.affine.read_text()
        affine = runs.set_parameter(affine, "DefaultPixelValue", -1000)  # air, in HU
        (self._out / "affine.txt").write_text(affine)
        identity = runs.set_parameter(
            affine, "TransformParameters", *(1, 0, 0), *(0, 1, 0), *(0, 0, 1), *(0, 0, 0)
        )
        (self._out / "identity.txt").write_text(identity)
        self._before = {
            "unregistered": self._warp(self._out / "identity.txt", self._out / "unregistered"),
            "affine": self._warp(self._out / "affine.txt", self._out / "affine"),
        }
        return self._errors(self._out / "affine")

    def register(self, run: Run) -> tuple[landmarks.Errors, dict[str, float]]:
        """Do one registration and draw its picture, after :meth:`prepare`.

        Returns:
            The errors of the landmarks, and the seconds by stage.

        Raises:
            RunError: elastix or transformix failed.
        """
        folder = self._out / run.name
        folder.mkdir(exist_ok=True)
        text = (self._maps / run.parameter_map).read_text()
        for model in (_LAYER, _MIND):
            text = text.replace(f'"{model}"', f'"{self._out / "models" / model}"')
        if self._iterations is not None:
            text = runs.set_parameter(text, "MaximumNumberOfIterations", self._iterations)
        (folder / "parameters.txt").write_text(text)
        log, seconds = runs.elastix(
            [
                *("-f", self._data.fixed, "-m", self._data.moving, "-t0", self._out / "affine.txt"),
                *("-p", folder / "parameters.txt", "-out", folder, *self._threads),
            ],
            text,
        )
        result = self._warp(folder / "TransformParameters.0.txt", folder)
        pictures.overlay(
            self._fixed,
            {**self._before, "registered": result},
            run.title,
            self._out / f"{run.name}.png",
        )
        return self._errors(folder), log.times(seconds)

    def _warp(self, transform: Path, folder: Path) -> metaimage.Image:
        """Let transformix warp the moving image and map the landmarks by one transform."""
        folder.mkdir(exist_ok=True)
        text = transform.read_text().replace(
            '(ResultImageFormat "mhd")', '(ResultImageFormat "mha")'
        )
        transform.write_text(text)
        runs.transformix(
            [
                *("-in", self._data.moving, "-def", self._data.landmarks),
                *("-tp", transform, "-out", folder, *self._threads),
            ]
        )
        return metaimage.read(folder / "result.mha")

    def _errors(self, folder: Path) -> landmarks.Errors:
        points = landmarks.read_output_points(folder / "outputpoints.txt")[self._inside]
        return landmarks.Errors.between(points, self._truth)
