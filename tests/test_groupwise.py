"""Components of elastix beside which the metric finds nothing are refused by name.

Groupwise registration above all: a series, registered with itself. Whatever component else there
is, either gives the right result or says why it does not.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.images import Grid, Image, Scene, shift
from helpers.itk_process import ItkError, ItkProcess
from helpers.pairs import sitk_image, squares
from helpers.parameter_maps import ParameterMap, Value, as_text, parameter_map, to_map
from helpers.programs import as_points, run, run_elastix
from helpers.registrations import GRIDS, MODES, SHIFTS, first_value, impact, pair
from impact_plugin.check import check_map
from impact_plugin.registration import stages

MULTI = "MultiMetricMultiResolutionRegistration"
STACKS = ("AffineLogStack", "BSplineStack", "EulerStack", "TranslationStack")
GROUPWISE = r"groupwise registration.*compares a fixed with a moving image\."
SERIES = r".* Register the images of the series one by one"
UNFIT: list[tuple[str, str, str]] = [
    *(("Transform", f"{name}Transform", GROUPWISE + SERIES) for name in STACKS),
    ("Metric", "VarianceOverLastDimensionMetric", GROUPWISE + SERIES),
    ("Metric", "PCAMetric", GROUPWISE + SERIES),
    ("Metric", "PCAMetric2", GROUPWISE + SERIES),
    ("Metric", "SumOfPairwiseCorrelationCoefficientsMetric", GROUPWISE + SERIES),
    ("Interpolator", "ReducedDimensionBSplineInterpolator", GROUPWISE + ' Use "BSplineInterp'),
    ("Interpolator", "RayCastInterpolator", r"a projection of the moving image.* Use \"BSpline"),
    ("Transform", "DeformationFieldTransform", r"no parameters.* Give it as the initial transform"),
    ("Transform", "ExternalTransform", r"no parameters.* Give it as the initial transform"),
    (
        "Registration",
        "MultiResolutionRegistrationWithFeatures",
        r"several images at once.* Use \"MultiResolutionRegistration\"",
    ),
]


def series() -> Image:
    """Frames of a scene that drifts: 2D and time, as one image of three axes."""
    grid = GRIDS[2]
    frames = [Scene(grid).seen(grid, shift(0.8 * time, -0.5 * time)).voxels for time in range(8)]
    return Image(np.stack(frames), Grid((*grid.size, 8), (*grid.spacing, 1.0), (*grid.origin, 0.0)))


def with_component(parameter: str, value: str, model: str) -> ParameterMap:
    """Make a map of the metric with another component in one place."""
    parameters = parameter_map(
        3, **impact(3, "Static", model, LayersMask="010"), MaximumNumberOfIterations=3
    )
    parameters |= {"FinalGridSpacingInPhysicalUnits": ["12"]}
    if parameter == "Metric":
        return parameters | {"Metric": ["Impact", value], "Registration": [MULTI]}
    return parameters | {parameter: [value]}


@pytest.mark.parametrize(("parameter", "value", "words"), UNFIT)
def test_check_refuses(layers: dict[int, str], parameter: str, value: str, words: str) -> None:
    report = check_map(with_component(parameter, value, layers[3]))
    (finding,) = report.errors
    assert (finding.code, finding.parameter) == ("parameter", parameter)
    assert f'"{value}" cannot be used with the metric "Impact"' in finding.message
    assert re.search(words, f"{finding.message} {finding.remedy}")
    assert finding.remedy
    assert not finding.remedy.startswith(f'"{value}"')


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(("parameter", "value", "words"), UNFIT)
def test_python_refuses_before_elastix_starts(
    layers: dict[int, str], parameter: str, value: str, words: str
) -> None:
    """The stage is named: a map before it is no concern."""
    image = sitk_image(series())
    maps = [squares(), with_component(parameter, value, layers[3])]
    expected = rf"the map 'map 1' cannot be run:\n{parameter}: \"{value}\" cannot .*{words}"
    with pytest.raises(ValueError, match=expected):
        impact_plugin.register_images(image, image, parameter_maps=maps)


@pytest.mark.usefixtures("no_elastix")
def test_shell_refuses_before_elastix_starts(layers: dict[int, str], tmp_path: Path) -> None:
    sitk.WriteImage(sitk_image(series()), str(tmp_path / "series.mha"))
    parameters = with_component("Transform", "BSplineStackTransform", layers[3])
    (tmp_path / "map.txt").write_text(as_text(parameters))
    images = [str(tmp_path / "series.mha")] * 2
    files = ["-p", str(tmp_path / "map.txt"), "-o", str(tmp_path / "out")]
    result = programs.plugin("register", *images, *files)
    assert result.exit_code == 1
    assert 'Transform: "BSplineStackTransform" cannot be used with' in result.output
    assert not (tmp_path / "out").exists()
    result = programs.plugin("check", tmp_path / "map.txt")
    assert result.exit_code == 1
    assert re.search(r"map\.txt:\d+: error: Transform: \"BSplineStackT", result.output)


def test_other_metrics_keep_these_components(tmp_path: Path) -> None:
    """Groupwise registration without this metric is elastix' own."""
    parameters = parameter_map(3, Metric="VarianceOverLastDimensionMetric")
    parameters |= {"Transform": ["BSplineStackTransform"]}
    (stage,) = stages.make_stages(None, parameters, None, 3, tmp_path)
    assert stage.parameters == parameters


def refused(folder: Path, arguments: list[str | Path], parameters: ParameterMap) -> str:
    """Run elastix, which is to fail before the first iteration, and give the log."""
    (folder / "map.txt").write_text(as_text(parameters))
    ended = run("elastix", *arguments, "-p", "map.txt", "-out", folder, folder=folder)
    log = (folder / "elastix.log").read_text()
    assert ended.returncode == 1, log[-2000:]
    assert "1:ItNr" not in log
    assert not (folder / "TransformParameters.0.txt").exists()
    return log


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Transform", "BSplineStackTransform"),
        ("Transform", "TranslationStackTransform"),
        ("Metric", "VarianceOverLastDimensionMetric"),
        ("Interpolator", "RayCastInterpolator"),
    ],
)
def test_elastix_refuses(
    layers: dict[int, str], tmp_path: Path, parameter: str, value: str
) -> None:
    """A series with itself, which would end with the identity and all well."""
    image = series().write(tmp_path / "series.mha")
    parameters = with_component(parameter, value, layers[3])
    log = refused(tmp_path, ["-f", image, "-m", image], parameters)
    assert re.search(
        rf'Metric "Impact" cannot run:\n{parameter}: "{value}" cannot be used with the metric', log
    )


def test_stock_itk_refuses(itk_process: ItkProcess, layers: dict[int, str]) -> None:
    parameters = with_component("Transform", "EulerStackTransform", layers[3])
    with pytest.raises(ItkError, match='Transform: "EulerStackTransform" cannot be used') as error:
        itk_process.register(series(), series(), parameters)
    assert "1:ItNr" not in error.value.log


@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_images_that_no_metric_looks_at(layers: dict[int, str], tmp_path: Path, side: str) -> None:
    """Elastix leaves out all but the first where the map has one metric."""
    fixed, moving = (image.write(tmp_path / f"{n}.mha") for n, image in enumerate(pair(3)))
    two: dict[str, list[str | Path]] = {"fixed": ["-f0", fixed, "-f1", moving, "-m", moving]}
    two["moving"] = ["-f", fixed, "-m0", moving, "-m1", fixed]
    log = refused(
        tmp_path, two[side], parameter_map(3, **impact(3, "Static", layers[3], LayersMask="100"))
    )
    flag = {"fixed": "-f", "moving": "-m"}[side]
    assert f"elastix was given 2 {side} images, but the map has one metric" in log
    assert f"Give one image by {flag}," in log


def test_several_pairs_of_images(
    itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path
) -> None:
    """Each metric looks at its own pair: the value is the sum of both."""
    metric = impact(3, "Static", layers[3], LayersMask="010")
    on_a_grid: dict[str, Value] = {"ImageSampler": "Grid", "SampleGridSpacing": 5}
    grid, scene = GRIDS[3], Scene(GRIDS[3], seed=4)
    other = scene.seen(grid), scene.seen(grid, shift(*-SHIFTS[3]))
    alone = [first_value(itk_process, images, **metric, **on_a_grid) for images in (pair(3), other)]
    assert abs(alone[0] - alone[1]) > 0.01
    names = {
        "FixedImagePyramid": ["FixedGenericImagePyramid"] * 2,
        "MovingImagePyramid": ["MovingGenericImagePyramid"] * 2,
        "Interpolator": ["LinearInterpolator"] * 2,
        "ImageSampler": ["Grid"] * 2,
        "Metric": ["Impact"] * 2,
    }
    parameters = parameter_map(
        3, **{**metric, **on_a_grid, **names}, Registration=MULTI, MaximumNumberOfIterations=1
    )
    parameters |= {"AutomaticParameterEstimation": ["false"]}
    parameters |= {"Metric0Weight": ["1"], "Metric1Weight": ["1"]}
    (tmp_path / "map.txt").write_text(as_text(parameters))
    files: list[str | Path] = []
    for flag, images in (("-f", (pair(3)[0], other[0])), ("-m", (pair(3)[1], other[1]))):
        for number, image in enumerate(images):
            files += [f"{flag}{number}", image.write(tmp_path / f"{flag[1]}{number}.mha")]
    ended = run("elastix", *files, "-p", "map.txt", "-out", tmp_path, folder=tmp_path)
    log = (tmp_path / "elastix.log").read_text()
    assert ended.returncode == 0, log[-2000:]
    (first,) = re.findall(r"(?m)^0\t(\S+)\t", log)
    assert float(first) == pytest.approx(sum(alone), abs=2e-6)


@pytest.mark.parametrize("mode", MODES)
def test_weighted_combination(layers: dict[int, str], tmp_path: Path, mode: str) -> None:
    """Of a transform that is twice the right one, half."""
    written: dict[str, Value] = {
        "Transform": "TranslationTransform",
        "NumberOfParameters": 3,
        "TransformParameters": list(2 * SHIFTS[3]),
        "InitialTransformParametersFileName": "NoInitialTransform",
        "HowToCombineTransforms": "Compose",
    }
    (tmp_path / "twice.txt").write_text(as_text(to_map(written)))
    metric = impact(3, mode, layers[3], LayersMask="100" if mode == "Static" else "010")
    parameters = parameter_map(
        3,
        **metric,
        Transform="WeightedCombinationTransform",
        SubTransforms=str(tmp_path / "twice.txt"),
    )
    found = run_elastix(tmp_path, *pair(3), parameters)
    assert float(found["TransformParameters"][0]) == pytest.approx(0.5, abs=0.01)


def test_thin_plate_spline(layers: dict[int, str], tmp_path: Path) -> None:
    """Landmarks that are given for the fixed image are found in the moving one."""
    points = GRIDS[3].random_points(12, margin=0.25)
    (tmp_path / "points.txt").write_text(as_points(points))
    parameters = parameter_map(
        3,
        **impact(3, "Static", layers[3], LayersMask="100"),
        Transform="SplineKernelTransform",
        SplineKernelType="ThinPlateSpline",
        MaximumNumberOfIterations=150,
    )
    options: list[str | Path] = ["-fp", tmp_path / "points.txt"]
    found = run_elastix(tmp_path, *pair(3), parameters, options=options)
    moved = np.array(found["TransformParameters"], float).reshape(-1, 3) - points
    # The median: some lie where the images are all but empty.
    errors = np.linalg.norm(moved - SHIFTS[3], axis=1)
    assert float(np.median(errors)) < 0.5 * float(np.linalg.norm(SHIFTS[3]))
    values = [
        float(v) for v in re.findall(r"(?m)^\d+\t(\S+)\t", (tmp_path / "elastix.log").read_text())
    ]
    assert np.mean(values[-10:]) < 0.1 * values[0]


def test_sampler_of_several_images(layers: dict[int, str], tmp_path: Path) -> None:
    """With one image it draws as RandomCoordinate does."""
    found = []
    for sampler in ("RandomCoordinate", "MultiInputRandomCoordinate"):
        parameters = parameter_map(
            3, **impact(3, "Static", layers[3], LayersMask="100"), ImageSampler=sampler
        )
        found.append(run_elastix(tmp_path, *pair(3), parameters)["TransformParameters"])
    np.testing.assert_allclose(np.array(found[0], float), np.array(found[1], float), atol=1e-6)


UNKNOWN = [
    ("Registration", "MultiResolution", "MultiResolutionRegistration"),
    ("ImageSampler", "RandomCoordinates", "RandomCoordinate"),
    ("Interpolator", "BSplineInterpolators", "BSplineInterpolator"),
    ("Optimizer", "AdaptiveStochasticGradient", "AdaptiveStochasticGradientDescent"),
    ("Transform", "BSplineTransforms", "BSplineTransform"),
    ("Metric", "AdvancedMeanSquare", "AdvancedMeanSquares"),
]


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(("parameter", "value", "nearest"), UNKNOWN)
def test_components_that_elastix_does_not_have(
    layers: dict[int, str], parameter: str, value: str, nearest: str
) -> None:
    parameters = with_component(parameter, value, layers[3])
    (finding,) = check_map(parameters).errors
    assert (finding.code, finding.parameter) == ("component", parameter)
    assert finding.message == f'elastix has no "{value}".'
    assert re.match(rf"The nearest are (\w+, )*{nearest}\b", finding.remedy)
    image = sitk_image(series())
    with pytest.raises(ValueError, match=rf'\({parameter} "{value}"\), which .*{nearest}'):
        impact_plugin.register_images(image, image, parameter_maps=parameters)


def test_names_are_those_of_elastix(tmp_path: Path, layers: dict[int, str]) -> None:
    """All that Python lets through by name, elastix can make."""
    from impact_plugin.elastix import components

    fixed, moving = (image.write(tmp_path / f"{n}.mha") for n, image in enumerate(pair(3)))
    for parameter in ("Registration", "Transform", "ImageSampler", "Interpolator", "Optimizer"):
        parameters = parameter_map(3, **impact(3, "Static", layers[3], LayersMask="100"))
        parameters[parameter] = [*components.known(parameter), "Nothing"]
        (tmp_path / "map.txt").write_text(as_text(parameters))
        files: list[str | Path] = ["-f", fixed, "-m", moving, "-p", "map.txt", "-out", tmp_path]
        run("elastix", *files, folder=tmp_path)
        log = (tmp_path / "elastix.log").read_text()
        assert re.findall(r"component could not be created: (\w+)", log) == ["Nothing"]
