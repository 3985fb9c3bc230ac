"""The Jacobian determinant of a transform: where it expands, shrinks and folds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class JacobianStatistics:
    """Statistics of det(dT/dx) over the voxels of the fixed image.

    1 keeps the volume, 2 means twice the volume in the moving image, 0 and less is folding.

    Attributes:
        folding: Fraction of the voxels whose determinant is 0 or less.
        voxels: Number of voxels measured.
    """

    min: float
    p1: float
    p5: float
    median: float
    mean: float
    p95: float
    p99: float
    max: float
    std: float
    folding: float
    voxels: int

    @classmethod
    def of(cls, determinant: sitk.Image, mask: sitk.Image | None = None) -> JacobianStatistics:
        """Compute the statistics of an image of determinants.

        Args:
            determinant: As :func:`impact_plugin.transforms.apply.jacobian_determinant` gives it.
            mask: On the same grid: what is not 0 counts.
        """
        import SimpleITK as sitk

        values: NDArray[np.float64] = sitk.GetArrayFromImage(determinant).astype(np.float64)
        if mask is not None:
            values = values[sitk.GetArrayViewFromImage(mask) != 0]
        p1, p5, median, p95, p99 = np.percentile(values, (1, 5, 50, 95, 99)).tolist()
        return cls(
            min=float(values.min()),
            p1=p1,
            p5=p5,
            median=median,
            mean=float(values.mean()),
            p95=p95,
            p99=p99,
            max=float(values.max()),
            std=float(values.std()),
            folding=float(np.mean(values <= 0)),
            voxels=values.size,
        )

    def statistics(self) -> dict[str, float]:
        """Give all statistics by name."""
        return asdict(self)
