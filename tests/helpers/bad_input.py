"""Parameters with which a registration runs, and changes that must stop it, with the message.

In the texts "{files}" is the folder of :func:`write_files`.
"""

from __future__ import annotations

from pathlib import Path

import torch

from helpers import tiny_models
from helpers.parameter_maps import Value

ADVICE = "Give the path of a TorchScript file (torch.jit.save)"


def write_files(folder: Path) -> Path:
    """Fill a folder with models, and with files that are none."""
    tiny_models.save(tiny_models.Layers(3), folder / "layers.pt")
    tiny_models.save(tiny_models.Layers(3, channels=3), folder / "colour.pt")
    tiny_models.save(tiny_models.Layers(2), folder / "flat.pt")
    tiny_models.save(tiny_models.Steps(), folder / "steps.pt")
    tiny_models.save(tiny_models.Sums(), folder / "sums.pt")
    tiny_models.save(tiny_models.Small(), folder / "small.pt")
    tiny_models.save(tiny_models.Identity(), folder / "identity.pt")
    tiny_models.save(tiny_models.Logarithm(), folder / "logarithm.pt")
    torch.save(tiny_models.Layers(3).state_dict(), folder / "weights.pt")
    (folder / "text.pt").write_text("I am not a model.\n")
    (folder / "empty.pt").touch()
    (folder / "folder.pt").mkdir()
    content = (folder / "layers.pt").read_bytes()
    (folder / "half.pt").write_bytes(content[: len(content) // 2])
    return folder


def good(files: Path, **parameters: Value) -> dict[str, Value]:
    """Give parameters with which the metric runs, but for those named."""
    return {
        "Metric": "Impact",
        "Mode": "Jacobian",
        "ModelsPath": str(files / "layers.pt"),
        "Dimension": "3",
        "VoxelSize": "1.5*1.5*1.5",
        "PatchSize": "5*5*5",
        "LayersMask": "010",
        "MaximumNumberOfIterations": 30,
        "NumberOfSpatialSamples": 100,
        **parameters,
    }


CASES: dict[str, tuple[dict[str, Value], list[str]]] = {
    # the model's file
    "missing file": (
        {"ModelsPath": "{files}/nowhere/net.pt"},
        ['ModelsPath (resolution level 0): file "{files}/nowhere/net.pt" does not exist', ADVICE],
    ),
    "folder": (
        {"ModelsPath": "{files}/folder.pt"},
        ['ModelsPath (resolution level 0): file "{files}/folder.pt" is empty or a folder', ADVICE],
    ),
    "empty file": (
        {"ModelsPath": "{files}/empty.pt"},
        ['ModelsPath (resolution level 0): file "{files}/empty.pt" is empty or a folder', ADVICE],
    ),
    "text": (
        {"ModelsPath": "{files}/text.pt"},
        ['file "{files}/text.pt" is not a TorchScript model', "not a ZIP archive", ADVICE],
    ),
    "weights alone": (
        {"ModelsPath": "{files}/weights.pt"},
        ['file "{files}/weights.pt" is not a TorchScript model', "constants.pkl", ADVICE],
    ),
    "half a file": (
        {"ModelsPath": "{files}/half.pt"},
        ['file "{files}/half.pt" is not a TorchScript model', ADVICE],
    ),
    "no model": (
        {"ModelsPath": ""},
        ["ModelsPath (resolution level 0): no model is given for the fixed image. Give the path"],
    ),
    # what the model takes and gives
    "mask too short": (
        {"LayersMask": "01"},
        [
            "LayersMask (resolution level 0): it has 2 entries, but model file",
            '"{files}/layers.pt" gives 3 layers. Give one 0 or 1 for each layer.',
        ],
    ),
    "mask too long": (
        {"LayersMask": "0101"},
        [
            "LayersMask (resolution level 0): it has 4 entries, but model file",
            '"{files}/layers.pt" gives 3 layers',
        ],
    ),
    "mask selects nothing": (
        {"LayersMask": "000"},
        [
            'LayersMask (resolution level 0): "000" is not allowed. Allowed: one 0 or 1 for each '
            "output of the model, at least one 1"
        ],
    ),
    "too many components": (
        {"PCA": 7},
        [
            "PCA (resolution level 0): 7 is not allowed, because selected layer 0 of model "
            '"{files}/layers.pt" has 6 channels. Allowed: 0 to 6.'
        ],
    ),
    "layers that cannot be compared": (
        {"FixedLayersMask": "100", "MovingLayersMask": "010"},
        ["differ in the number of channels of their selected layers", "FixedLayersMask"],
    ),
    "too many channels": (
        {"NumberOfChannels": 3},
        [
            'Model file "{files}/layers.pt" refused an input of 1 x 3 x 5 x 5 x 5',
            "Check Dimension, NumberOfChannels and PatchSize",
        ],
    ),
    "too few channels": (
        {"ModelsPath": "{files}/colour.pt"},
        [
            'Model file "{files}/colour.pt" refused an input of 1 x 1 x 5 x 5 x 5',
            "to have 3 channels, but got 1 channels",
            "Check Dimension, NumberOfChannels and PatchSize",
        ],
    ),
    "no channels": (
        {"NumberOfChannels": 0},
        [
            'NumberOfChannels (resolution level 0): "0" is not allowed. Allowed: a whole number '
            "from 1 up"
        ],
    ),
    "2D model as 3D": (
        {"ModelsPath": "{files}/flat.pt"},
        ['Model file "{files}/flat.pt" refused an input of 1 x 1 x 5 x 5 x 5', "Check Dimension"],
    ),
    "3D model as 2D": (
        {"Dimension": 2, "VoxelSize": "1*1", "PatchSize": "5*5"},
        ['Model file "{files}/layers.pt" refused an input of 1 x 1 x 5 x 5', "Check Dimension"],
    ),
    "unknown dimension": (
        {"Dimension": 4},
        ['Dimension (resolution level 0): "4" is not allowed. Allowed: 2 or 3'],
    ),
    "no gradient": (
        {"ModelsPath": "{files}/steps.pt", "LayersMask": "1"},
        [
            'Mode (resolution level 0): "Jacobian" needs models that can be differentiated',
            'Use Mode "Static"',
        ],
    ),
    "no map of features": (
        {"ModelsPath": "{files}/sums.pt", "LayersMask": "1"},
        ['Model file "{files}/sums.pt": layer 0 has shape 1 x 1', "Allowed: batch x channels x"],
    ),
    # words and numbers
    "unknown mode": (
        {"Mode": "static"},
        ['Mode (resolution level 0): "static" is not allowed. Allowed: "Static" or "Jacobian".'],
    ),
    "unknown distance": (
        {"Distance": "L3"},
        ['Distance (resolution level 0): "L3" is not allowed. Allowed: "L1", "L2"'],
    ),
    "no GPU's number": (
        {"GPU": "cuda"},
        ['GPU (resolution level 0): "cuda" is not allowed. Allowed: -1 for the CPU'],
    ),
    "voxels of no size": (
        {"VoxelSize": "1*0*1"},
        ['VoxelSize (resolution level 0): "0" is not allowed. Allowed: numbers of mm greater'],
    ),
    "patch larger than the image": (
        {"PatchSize": "5*26*5"},
        [
            "PatchSize (resolution level 0): 26 voxels of 1.5 mm (VoxelSize) span 39 mm along axis "
            "y, but the fixed image only 37.5 mm. Allowed: at most 25 voxels; or choose a smaller "
            "VoxelSize."
        ],
    ),
    "no patch": (
        {"PatchSize": "0*0*0"},
        ["PatchSize (resolution level 0): 0 (the whole image) is possible in Static mode only"],
    ),
    # the other dialect, a later level
    "names as the user wrote them": (
        {"ImpactMode": "Statix", "ImpactDistance0": "l2"},
        ['ImpactMode (resolution level 0): "Statix"', 'ImpactDistance0 (resolution level 0): "l2"'],
    ),
    "second level": (
        {"NumberOfResolutions": 2, "Distance": ["L2", "L3"]},
        ['Distance (resolution level 1): "L3" is not allowed'],
    ),
    "second level's file": (
        {"NumberOfResolutions": 2, "ModelsPath": ["{files}/layers.pt", "{files}/nowhere.pt"]},
        ['file "{files}/nowhere.pt" does not exist'],
    ),
    # sizes and intensities that come to light when the features are made
    "voxels larger than the image": (
        {
            "Mode": "Static",
            "ModelsPath": "{files}/identity.pt",
            "LayersMask": "1",
            "VoxelSize": "99*99*99",
            "PatchSize": "0*0*0",
        },
        [
            "VoxelSize (resolution level 0): 99 mm makes an image of 1 x 1 x 1 voxels",
            "at least 2 and at most",
        ],
    ),
    "voxels that no memory holds": (
        {"Mode": "Static", "VoxelSize": "0.001*0.001*0.001", "PatchSize": "0*0*0"},
        ["VoxelSize (resolution level 0): 0.001 mm makes an image of 34000 x 37500 x 39000 voxels"],
    ),
    "feature maps that no memory holds": (
        {"Mode": "Static", "VoxelSize": "0.018*0.018*0.018", "PatchSize": "0*0*0"},
        [
            "VoxelSize (resolution level 0): the feature maps of this level would take at least 57",
            "GiB are available. Choose a larger VoxelSize",
        ],
    ),
    "feature maps that no memory holds, by the other name": (
        {"Mode": "Static", "ImpactVoxelSize": "0.018*0.018*0.018", "PatchSize": "0*0*0"},
        [
            "ImpactVoxelSize (resolution level 0): the feature maps of this level would take",
            'UseMixedPrecision "true" (half the memory)',
        ],
    ),
    "features that are no numbers": (
        {
            "Mode": "Static",
            "ModelsPath": "{files}/logarithm.pt",
            "LayersMask": "1",
            "PatchSize": "0*0*0",
        },
        ['Model file "{files}/logarithm.pt" gives features that are infinite or not a number'],
    ),
    # the machine
    "no such GPU, and no such file": (
        {"GPU": 99, "ModelsPath": "{files}/nowhere.pt"},
        ["GPU (resolution level 0): 99 is not allowed", 'file "{files}/nowhere.pt" does not exist'],
    ),
}
