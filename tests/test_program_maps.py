"""Maps as programs write them, KonfAI's impact-reg among them: no word of ours, and what they mean.

Written by hand after what such a program makes of its options; the models are the tests' own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.pairs import write_pair
from helpers.programs import iterations, run
from impact_plugin.check import check_file
from impact_plugin.parameters import Parameters

HEAD = """\
// {name}: a rigid stage has been before
(FixedInternalImagePixelType "float")
(MovingInternalImagePixelType "float")
(UseDirectionCosines "true")
(Registration "MultiMetricMultiResolutionRegistration")
(FixedImagePyramid "FixedSmoothingImagePyramid")\t// keeps (all) voxels
(MovingImagePyramid "MovingSmoothingImagePyramid")
(ImagePyramidSchedule 1 1 1  1 1 1)
(Interpolator "BSplineInterpolator")
(Metric "Impact")
(Optimizer "AdaptiveStochasticGradientDescent")
(AutomaticParameterEstimation "true")
(NumberOfSamplesForExactGradient 300)
(ResampleInterpolator "FinalBSplineInterpolator")
(Resampler "DefaultResampler")
(Transform "TranslationTransform")
(NumberOfResolutions 2)
(MaximumNumberOfIterations 2 2)
(ImageSampler "RandomCoordinate")
(NumberOfSpatialSamples 100)
(NewSamplesEveryIteration "true")
(WriteResultImage "false")

// ---- IMPACT ----
(ImpactMode "{mode}")
(ImpactGPU -1)
(ImpactUseMixedPrecision "false")
(ImpactFeaturesMapUpdateInterval -1)

"""
# What such a program puts at the end where a template lacks it.
END = """
// appended
(WriteITKCompositeTransform "true")
(ITKTransformOutputFileNameExtension "itk.txt")
(ImpactNormalizeLosses "true")
(RandomSeed 42)
"""


@dataclass(frozen=True)
class Case:
    """A map and what the log's table is to say of each level.

    Args:
        mode: Static or Jacobian.
        block: The lines of all levels.
        models: Of each level and model: dimension, PatchSize, VoxelSize, LayersMask.
        layers: Of each level and selected layer: model, distance, weight, PCA, SubsetFeatures.
        sizes: of each level and layer the grid of the fixed features, rounded up; Static mode.
    """

    mode: str
    block: str
    models: list[list[str]]
    layers: list[list[str]]
    sizes: list[list[str]] | None = None


CASES = {
    # Along the third axis, too, the model's slices lie as far apart as was asked for.
    "2D, three numbers": Case(
        "Static",
        """\
(ImpactModelsPath0 "{mind2}")
(ImpactFeatureNormalization0 "none")
(ImpactDimension0 2)
(ImpactNumberOfChannels0 1)
(ImpactPatchSize0 0 0)
(ImpactVoxelSize0 2 2 3)
(ImpactLayersMask0 "1")
(ImpactSubsetFeatures0 100000)
(ImpactPCA0 0)
(ImpactDistance0 "L2")
(ImpactLayersWeight0 1)

(ImpactModelsPath1 "{mind2}")
(ImpactFeatureNormalization1 "none")
(ImpactDimension1 2)
(ImpactNumberOfChannels1 1)
(ImpactPatchSize1 0 0)
(ImpactVoxelSize1 1 1.25 1.5)
(ImpactLayersMask1 "1")
(ImpactSubsetFeatures1 100000)
(ImpactPCA1 0)
(ImpactDistance1 "L2")
(ImpactLayersWeight1 1)
""",
        [["2 0*0 2*2*3 1"], ["2 0*0 1*1.25*1.5 1"]],
        [["0 L2 1 0 100000"], ["0 L2 1 0 100000"]],
        [["17 x 19 x 13"], ["34 x 30 x 26"]],
    ),
    "3D and 2D together": Case(
        "Static",
        """\
(ImpactModelsPath0 "{mind3}" "{net2}")
(ImpactFeatureNormalization0 "none" "none")
(ImpactDimension0 3 2)
(ImpactNumberOfChannels0 1 1)
(ImpactPatchSize0 0 0 0 0 0)
(ImpactVoxelSize0 2 2 2 2 2 3)
(ImpactLayersMask0 "1" "011")
(ImpactSubsetFeatures0 100000 3 3)
(ImpactPCA0 2 0 0)
(ImpactDistance0 "L2" "L1Cosine" "L1Cosine")
(ImpactLayersWeight0 1 0.5 0.5)
""",
        [["3 0*0*0 2*2*2 1", "2 0*0 2*2*3 011"]] * 2,
        [["0 L2 1 2 100000", "1 L1Cosine 0.5 0 3", "1 L1Cosine 0.5 0 3"]] * 2,
        [["17 x 19 x 20", "17 x 19 x 13", "9 x 10 x 13"]] * 2,
    ),
    "two 2D models": Case(
        "Static",
        """\
(ImpactModelsPath0 "{mind2}" "{net2}")
(ImpactFeatureNormalization0 "none" "none")
(ImpactDimension0 2 2)
(ImpactNumberOfChannels0 1 1)
(ImpactPatchSize0 0 0 0 0)
(ImpactVoxelSize0 2 2 3 2 2 1.5)
(ImpactLayersMask0 "1" "010")
(ImpactSubsetFeatures0 100000 100000)
(ImpactPCA0 0 0)
(ImpactDistance0 "Cosine" "NCC")
(ImpactLayersWeight0 1 2)
""",
        [["2 0*0 2*2*3 1", "2 0*0 2*2*1.5 010"]] * 2,
        [["0 Cosine 1 0 100000", "1 NCC 2 0 100000"]] * 2,
        [["17 x 19 x 13", "17 x 19 x 26"]] * 2,
    ),
    # A block of a template that people have written into.
    "comments and blank lines": Case(
        "Static",
        """\
(ImpactModelsPath0 "{mind3}")  // MIND (radius 1)

(ImpactDimension0 3)
// (ImpactVoxelSize0 9 9 9)
(ImpactNumberOfChannels0 1)\t//grey
  (ImpactPatchSize0 0 0 0) // 0: the whole image


\t(ImpactVoxelSize0 2 2 2)
// the second level
(NumberOfHistogramBins 32)
(ImpactModelsPath1 "{net3}") //

(ImpactLayersMask1 "010") // its second layer
(ImpactSubsetFeatures1 100000)
(ImpactVoxelSize1 1.366 1.366 2.5)
//(ImpactDistance1 "NCC")
""",
        [["3 0*0*0 2*2*2 1"], ["3 0*0*0 1.366*1.366*2.5 010"]],
        [["0 L2 1 0 all"], ["0 L2 1 0 100000"]],
        [["17 x 19 x 20"], ["25 x 28 x 16"]],
    ),
    "2D in Jacobian mode, two numbers": Case(
        "Jacobian",
        """\
(ImpactModelsPath0 "{mind2}")
(ImpactFeatureNormalization0 "none")
(ImpactDimension0 2)
(ImpactNumberOfChannels0 1)
(ImpactPatchSize0 7 7)
(ImpactVoxelSize0 2 2)
(ImpactLayersMask0 "1")
(ImpactSubsetFeatures0 100000)
(ImpactPCA0 0)
(ImpactDistance0 "L2")
(ImpactLayersWeight0 1)
""",
        [["2 7*7 2*2 1"]] * 2,
        [["0 L2 1 0 100000"]] * 2,
    ),
    "3D and 2D together, in Jacobian mode": Case(
        "Jacobian",
        """\
(ImpactModelsPath0 "{mind3}" "{net2}")
(ImpactFeatureNormalization0 "none" "none")
(ImpactDimension0 3 2)
(ImpactNumberOfChannels0 1 1)
(ImpactPatchSize0 7 7 7 3 3)
(ImpactVoxelSize0 2 2 2 1.5 2)
(ImpactLayersMask0 "1" "010")
(ImpactSubsetFeatures0 100000 100000)
(ImpactPCA0 0 3)
(ImpactDistance0 "L2" "L1")
(ImpactLayersWeight0 1 1)
""",
        [["3 7*7*7 2*2*2 1", "2 3*3 1.5*2 010"]] * 2,
        [["0 L2 1 0 100000", "1 L1 1 3 100000"]] * 2,
    ),
}


@pytest.fixture(scope="module")
def names(mind: dict[int, str], layers: dict[int, str]) -> dict[str, str]:
    return {"mind2": mind[2], "mind3": mind[3], "net2": layers[2], "net3": layers[3]}


def tables(log: str) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """Read what the log has of models, layers and grids of fixed features, level by level."""
    levels = re.split(r"(?m)^Metric \"Impact\", resolution level \d+:$", log)[1:]
    models, layers, sizes = [], [], []
    for level in levels:
        # Model, Image, Dimension, NumberOfChannels, PatchSize, VoxelSize, LayersMask, ModelsPath
        rows = re.findall(r"(?m)^  \d+ +both +(\d) +1 +(\S+) +(\S+) +(\d+) +\S+\.pt$", level)
        models.append([" ".join(row) for row in rows])
        rows = re.findall(r"(?m)^  \d+ +(\d+) +([A-Z]\w+) +(\S+) +(\d+) +(\S+)$", level)
        layers.append([" ".join(row) for row in rows])
        sizes.append(re.findall(r"(?m)^  Layer \d+: \d+ channels, fixed (\d+ x \d+ x \d+)", level))
    return models, layers, sizes


@pytest.mark.parametrize(
    ("name", "ending"),
    [*((name, "\n") for name in CASES), ("comments and blank lines", "\r\n")],
)
def test_map(name: str, ending: str, names: dict[str, str], tmp_path: Path) -> None:
    case = CASES[name]
    text = HEAD.format(name=name, mode=case.mode) + case.block.format(**names) + END
    file = tmp_path / "map.txt"
    file.write_text(text, newline=ending)
    fixed, moving = write_pair(tmp_path)
    assert check_file(file, fixed, moving).findings == ()
    typed = Parameters.read(file)
    assert Parameters.from_parameter_map(typed.to_parameter_map()) == typed

    (tmp_path / "out").mkdir()
    options = ("-f", fixed, "-m", moving, "-p", file, "-out", tmp_path / "out")
    done = run("elastix", *options, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert 'Metric "Impact" (' not in done.stdout  # how our warnings begin
    models, layers, sizes = tables(done.stdout)
    assert models == case.models
    assert layers == case.layers
    assert sizes == (case.sizes or [[], []])
    assert iterations(done.stdout) == 4
    assert (tmp_path / "out" / "TransformParameters.0-Composite.itk.txt").is_file()


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_100000_features_are_all_of_them(mode: str, names: dict[str, str], tmp_path: Path) -> None:
    """To the bit what 0 gives: nothing is drawn at random. One of six is something else."""
    fixed, moving = write_pair(tmp_path)
    found = {}
    for number in (100000, 0, 1):
        block = (
            '(ImpactModelsPath0 "{net3}")\n(ImpactLayersMask0 "010")\n(ImpactVoxelSize0 2 2 2)\n'
            f"(ImpactSubsetFeatures0 {number})\n"
        )
        file, out = tmp_path / f"{number}.txt", tmp_path / f"{number}"
        file.write_text(HEAD.format(name=number, mode=mode) + block.format(**names))
        out.mkdir()
        options = ("-f", fixed, "-m", moving, "-p", file, "-out", out)
        done = run("elastix", *options, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        found[number] = (out / "TransformParameters.0.txt").read_text().replace(str(out), "")
    assert found[100000] == found[0] != found[1]
