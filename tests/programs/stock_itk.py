"""A user's program that knows only the stock itk and says (Metric "Impact").

    python stock_itk.py [MODEL] [--mode Static|Jacobian]

Registers a synthetic 3D pair with a known translation, prints the recovered one and its error, and
exits with 1 if the error exceeds half a voxel. MODEL is a TorchScript file of a 3D model with one
input channel; without it, another process has impact_plugin write MIND, so that this one still
imports nothing but itk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import itk
import numpy as np
from numpy.typing import NDArray

SIZE = (44, 40, 36)  # voxels, (x, y, z)
SPACING = (1.0, 1.25, 1.5)  # mm
ORIGIN = (-20.0, 35.0, 110.0)  # mm
ANGLE = np.deg2rad(15)
DIRECTION = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)
TRANSLATION = np.array([2.6, -1.9, 2.3])  # mm, from fixed to moving


def blobs(shift: NDArray[np.float64]) -> itk.Image:
    """Make an image of blobs that lie ``shift`` mm off, computed and not resampled."""
    random = np.random.default_rng(20)
    axes = [np.arange(size) * spacing for size, spacing in zip(SIZE, SPACING, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ DIRECTION.T + ORIGIN
    extent = np.array(SIZE) * SPACING
    values = np.zeros(SIZE)
    for _ in range(60):
        centre = DIRECTION @ (random.uniform(0.05, 0.95, 3) * extent) + ORIGIN + shift
        width, height = random.uniform(2.5, 6.0), random.uniform(-300, 600)
        values += height * np.exp(-0.5 * np.sum((grid - centre) ** 2, axis=-1) / width**2)
    image = itk.image_from_array(np.ascontiguousarray(values.T.astype(np.float32)))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(itk.matrix_from_array(DIRECTION))
    return image


def parameters(model: Path, mode: str) -> dict[str, list[str]]:
    """Give the parameter map: translation, two levels, in few iterations with few samples."""
    patch, samples = {"Static": ("0*0*0", "500"), "Jacobian": ("7*7*7", "100")}[mode]
    text = {
        "Registration": "MultiResolutionRegistration",
        "FixedImagePyramid": "FixedGenericImagePyramid",
        "MovingImagePyramid": "MovingGenericImagePyramid",
        "Interpolator": "LinearInterpolator",
        "Optimizer": "AdaptiveStochasticGradientDescent",
        "Transform": "TranslationTransform",
        "ResampleInterpolator": "FinalLinearInterpolator",
        "Resampler": "DefaultResampler",
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "FixedImageDimension": "3",
        "MovingImageDimension": "3",
        "NumberOfResolutions": "2",
        "ImagePyramidSchedule": "1 1 1 1 1 1",
        "AutomaticParameterEstimation": "true",
        "AutomaticTransformInitialization": "false",
        "NumberOfGradientMeasurements": "5",
        "NumberOfJacobianMeasurements": "500",
        "NumberOfSamplesForExactGradient": "1000",
        "MaximumNumberOfIterations": "50",
        "ImageSampler": "RandomCoordinate",
        "NumberOfSpatialSamples": samples,
        "NewSamplesEveryIteration": "true",
        "RandomSeed": "7",
        "WriteResultImage": "false",
        "Metric": "Impact",
        "Mode": mode,
        "Dimension": "3",
        "NumberOfChannels": "1",
        "VoxelSize": "3*3*3 1.5*1.5*1.5",
        "PatchSize": f"{patch} {patch}",
        "LayersMask": "1",
        "LayersWeight": "1",
        "SubsetFeatures": "12",
        "PCA": "0",
        "Distance": "L2",
        "GPU": "-1",
    }
    return {name: value.split() for name, value in text.items()} | {"ModelsPath": [str(model)]}


def main() -> int:
    """Run one registration and judge it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--mode", choices=("Static", "Jacobian"), default="Static")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            model = Path(folder) / "mind.pt"
            code = "import sys, impact_plugin.models as m; m.mind(path=sys.argv[1])"
            subprocess.run([sys.executable, "-I", "-c", code, model], check=True)

        parameter_object = itk.ParameterObject.New()
        parameter_object.AddParameterMap(parameters(model.resolve(), options.mode))
        _, transform = itk.elastix_registration_method(
            blobs(np.zeros(3)),
            blobs(TRANSLATION),
            parameter_object=parameter_object,
            output_directory=folder,
            log_to_file=True,
        )
    found = np.array(transform.GetParameterMap(0)["TransformParameters"], dtype=np.float64)
    error = float(np.linalg.norm(found - TRANSLATION))
    print(
        f"{options.mode}: expected {TRANSLATION} mm, found {found.round(3)}, error {error:.3f} mm"
    )
    return int(not error <= 0.5 * min(SPACING))


if __name__ == "__main__":
    sys.exit(main())
