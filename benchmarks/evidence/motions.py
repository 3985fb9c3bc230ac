"""Known transforms S, from the space of a moved image to that of the image it is made from."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator
from numpy.typing import NDArray

Points = NDArray[np.float64]

SHIFTS = {5: 5.0, 15: 20.0, 30: 40.0}  # degrees: mm of the shift that goes with them
COEFFICIENTS = {20: 3.0, 40: 6.0, 80: 12.0}  # mm of a grid: mm of the coefficients' deviation
BOTH = (8.0, 10.0)  # degrees and mm before a B-spline


@dataclass(frozen=True)
class Motion:
    """What is drawn for a motion: degrees, mm, and the grid of the B-spline, mm; 0: none."""

    degrees: float = 0.0
    shift: float = 0.0
    grid: float = 0.0
    coefficients: float = 0.0

    @classmethod
    def named(cls, name: str) -> Motion:
        """Read none, rigid<degrees>, spline<mm> or both<mm>.

        Raises:
            ValueError: There is no such motion.
        """
        word, number = re.fullmatch(r"([a-z]*)(\d*)", name).groups()  # type: ignore[union-attr]
        size = int(number or 0)
        if name == "none":
            return cls()
        if word == "rigid" and size in SHIFTS:
            return cls(size, SHIFTS[size])
        if word in ("spline", "both") and size in COEFFICIENTS:
            degrees, shift = BOTH if word == "both" else (0.0, 0.0)
            return cls(degrees, shift, size, COEFFICIENTS[size])
        message = (
            f"the motion is {name!r}, expected none, rigid with one of {list(SHIFTS)}, or spline "
            f"or both with one of {list(COEFFICIENTS)}"
        )
        raise ValueError(message)

    def drawn(
        self, image: sitk.Image, random: Generator, scale: float = 1.0
    ) -> sitk.CompositeTransform:
        """Draw S: a rotation about the image's middle with a shift, then a B-spline over the image.

        Args:
            image: The image that is to be moved; its extent is the B-spline's.
            random: Where the numbers come from.
            scale: All lengths are multiplied by it.
        """
        dimension = image.GetDimension()
        found = sitk.CompositeTransform(dimension)
        if self.grid:  # the transform added last is applied first
            found.AddTransform(_spline(image, self.grid * scale, self.coefficients * scale, random))
        if self.degrees or self.shift:
            found.AddTransform(_rigid(image, self.degrees, self.shift * scale, random))
        return found


def middle(image: sitk.Image) -> tuple[float, ...]:
    """Give the point in the middle of an image."""
    index = [(size - 1) / 2 for size in image.GetSize()]
    return tuple(image.TransformContinuousIndexToPhysicalPoint(index))


def _rigid(image: sitk.Image, degrees: float, shift: float, random: Generator) -> sitk.Transform:
    dimension, angle = image.GetDimension(), float(np.radians(degrees))
    direction = random.normal(size=dimension)
    way = (shift * direction / np.linalg.norm(direction)).tolist()
    if dimension == 2:
        return sitk.Euler2DTransform(middle(image), angle * random.choice([-1, 1]), way)
    axis = random.normal(size=3)
    found = sitk.VersorRigid3DTransform()
    found.SetCenter(middle(image))
    found.SetRotation((axis / np.linalg.norm(axis)).tolist(), angle)
    found.SetTranslation(way)
    return found


def _spline(image: sitk.Image, grid: float, deviation: float, random: Generator) -> sitk.Transform:
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    mesh = np.maximum(1, np.ceil(extent / grid)).astype(int)
    corner = np.full(image.GetDimension(), -0.5).tolist()
    found = sitk.BSplineTransform(image.GetDimension(), 3)
    found.SetTransformDomainOrigin(image.TransformContinuousIndexToPhysicalPoint(corner))
    found.SetTransformDomainDirection(image.GetDirection())
    found.SetTransformDomainPhysicalDimensions((mesh * grid).tolist())
    found.SetTransformDomainMeshSize(mesh.tolist())
    found.SetParameters(random.normal(0, deviation, len(found.GetParameters())).tolist())
    return found


def mapped(transform: sitk.Transform, points: Points) -> Points:
    """Map points (N, d), one after the other."""
    return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(
        points.shape
    )


def affine(matrix: Points, offset: Points) -> sitk.AffineTransform:
    """Make x -> A x + b."""
    found = sitk.AffineTransform(len(offset))
    found.SetMatrix(np.asarray(matrix, float).ravel().tolist())
    found.SetTranslation(np.asarray(offset, float).tolist())
    return found


def read_affine(text: str) -> sitk.AffineTransform:
    """Read an affine transform of ITK's text format, whatever the name of its class.

    Raises:
        ValueError: It is not one.
    """
    numbers = {
        name: np.array(values.split(), float)
        for name, values in re.findall(r"(?m)^(Parameters|FixedParameters): (.*)$", text)
    }
    if set(numbers) != {"Parameters", "FixedParameters"} or len(numbers["Parameters"]) != 12:
        message = (
            "expected ITK's text of one affine transform in 3D: 12 Parameters, 3 FixedParameters"
        )
        raise ValueError(message)
    found = sitk.AffineTransform(3)
    found.SetCenter(numbers["FixedParameters"].tolist())
    found.SetMatrix(numbers["Parameters"][:9].tolist())
    found.SetTranslation(numbers["Parameters"][9:].tolist())
    return found
