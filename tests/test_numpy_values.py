"""Numbers of numpy and torch where Python's are taken, and results that hold arrays compared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

import impact_plugin
from helpers.pairs import sitk_pair, squares, voxels
from impact_plugin import cohort, models
from impact_plugin._equality import same
from impact_plugin.evaluation.points import Points
from impact_plugin.models.normalization import Normalization
from impact_plugin.parameters import Layer, Level, Model, Network, Parameters
from impact_plugin.transforms import to_elastix
from impact_plugin.transforms.chain import Chain

array: Callable[..., Any] = np.array  # numbers for type checkers, too
Result = impact_plugin.RegistrationResult

# Each makes a number of another library of one of Python's.
WHOLE: dict[str, Callable[..., Any]] = {
    "int64": np.int64,
    "int32": np.int32,
    "uint8": np.uint8,
    "0-d array": np.array,
    "torch": torch.tensor,
}
REAL: dict[str, Callable[..., Any]] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int64": lambda value: np.int64(value),
    "0-d array": np.array,
    "torch": torch.tensor,
}


@pytest.mark.parametrize("real", REAL)
def test_sizes_of_voxels(real: str) -> None:
    number = REAL[real]
    expected = Network(path="a.pt", voxel_size=3.0)
    found = Network(path="a.pt", voxel_size=number(3))
    assert found == expected
    assert hash(found) == hash(expected)
    assert repr(found) == repr(expected)
    several = Network(path="a.pt", voxel_size=[number(3), number(3), number(2)])
    assert several == Network(path="a.pt", voxel_size=(3.0, 3.0, 2.0))
    assert Network(path="a.pt", voxel_size=array([3, 3, 2], np.float32)) == several
    assert Layer(weight=number(2)) == Layer(weight=2.0)
    with pytest.raises(ValueError, match=r"voxel_size is -3"):
        Network(path="a.pt", voxel_size=number(3) * -1 if real != "int64" else np.int64(-3))


@pytest.mark.parametrize("whole", WHOLE)
def test_whole_numbers_of_maps(whole: str) -> None:
    number = WHOLE[whole]

    def made(number: Callable[[int], Any]) -> Parameters:
        model = Model(
            path="a.pt",
            voxel_size=number(3),
            dimension=number(3),
            channels=number(1),
            patch_size=number(5),
            layers=Layer(pca=number(4), subset_features=number(8)),
        )
        level = Level(
            models=model, device="cuda:0", mixed_precision=True, update_interval=number(0)
        )
        return Parameters(
            level, {"MaximumNumberOfIterations": number(9)}, image_dimension=number(3)
        )

    found, expected = made(number), made(int)
    assert found == expected
    assert repr(found) == repr(expected)
    assert pickle.loads(pickle.dumps(found)) == expected
    assert found.to_parameter_map() == expected.to_parameter_map()
    tiles = Network(path="a.pt", voxel_size=1, patch_size=array([5, 5, 7]))
    assert tiles.patch_voxels == (5, 5, 7)
    wrong: Any
    for wrong in (number(5) * 1.5, True, np.bool_(True), np.float64(5)):
        with pytest.raises(ValueError, match=r"patch_size is .*expected a whole number"):
            Network(path="a.pt", voxel_size=1, patch_size=wrong)


@pytest.mark.parametrize("whole", ["int64", "0-d array", "torch"])
def test_a_registration(whole: str, tmp_path: Path) -> None:
    """The same to the bit, and so is its record."""
    number = WHOLE[whole]
    fixed, moving = sitk_pair()

    def made(number: Callable[..., Any], real: Callable[..., Any], out: Path) -> Result:
        return impact_plugin.register_images(
            fixed,
            moving,
            parameter_maps={**squares(), "MaximumNumberOfIterations": number(8)},
            iterations=number(3),
            threads=number(1),
            seed=number(5),
            default_pixel_value=real(-7),
            output_directory=out,
        )

    expected = made(int, float, tmp_path / "a")
    found = made(number, np.float32 if whole == "int64" else number, tmp_path / "b")
    assert found.record
    assert expected.record
    assert found.record.arguments == expected.record.arguments
    assert found.record.transform.sha256 == expected.record.transform.sha256
    assert same(found.image, expected.image)
    assert found.chain == expected.chain
    warped = found.warp(
        moving, interpolation=number(1), default_pixel_value=np.float32(-5), threads=number(1)
    )
    assert same(warped, expected.warp(moving, interpolation=1, default_pixel_value=-5.0))
    inverse = found.inverse(tolerance=np.float32(0.5), spacing=array(4.0))
    assert inverse.GetParameters() == expected.inverse(0.5, 4.0).GetParameters()
    again = impact_plugin.rerun(tmp_path / "b", fixed=fixed, moving=moving, threads=number(1))
    assert again.same
    page = found.report(tmp_path / "page.html", slices=number(2), window=array([0, 100]))
    assert page.stat().st_size > 0


@pytest.mark.parametrize("wrong", [np.float32(2.5), array([[3]]), array(2.5), np.nan])
def test_what_is_no_whole_number(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"iterations.* is .*expected a whole number of at least"):
        impact_plugin.register_images(
            *sitk_pair(),
            parameter_maps=squares(),
            iterations=wrong,  # type: ignore[arg-type]
        )


def test_other_functions(tmp_path: Path) -> None:
    path = models.mind(array(1), np.int64(2), np.uint8(2), path=tmp_path / "a.pt")
    assert path.read_bytes() == models.mind(1, 2, 2, path=tmp_path / "b.pt").read_bytes()
    assert Normalization.zscore(np.float32(2), array(4)) == Normalization.zscore(2.0, 4.0)
    assert impact_plugin.preset_map("mind", array(3)) == impact_plugin.preset_map("mind", 3)
    report = models.inspect(path, dimension=np.int64(2), channels=array(1), size=np.int32(16))
    assert report == models.inspect(path, dimension=2, channels=1, size=16)


# Equality


@pytest.fixture(scope="module")
def result() -> Result:
    return impact_plugin.register_images(
        *sitk_pair(), parameter_maps=squares(), iterations=3, threads=1, seed=1
    )


def instances(result: Result) -> dict[str, Any]:
    field = sitk.GetImageFromArray(np.ones((6, 5, 4, 3)), isVector=True)
    whole = to_elastix.from_sitk(sitk.DisplacementFieldTransform(field), result.fixed)
    table = pd.DataFrame({"status": ["done", "failed"], "tre_mean_mm": [1.0, np.nan]})
    return {
        "history": result.history,
        "image": impact_plugin.ImageArray(
            array([[1.0, np.nan], [3.0, 4.0]]), array([1.0, 2.0]), direction=np.eye(2)
        ),
        "points": Points(np.arange(6.0).reshape(2, 3), ("a", "b")),
        "chain": whole,
        "result": result,
        "rerun": impact_plugin.Rerun(result, same=True, remarks=(), differences=()),
        "cohort": cohort.CohortResult(Path("out"), table),
    }


NAMES = ["history", "image", "points", "chain", "result", "rerun", "cohort"]


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_copies_and_not_to_others(name: str, result: Result) -> None:
    one = instances(result)[name]
    for other in (one, copy.copy(one), pickle.loads(pickle.dumps(one))):
        assert (one == other) is True
        assert (one != other) is False
    for stranger in (None, "text", 3, np.zeros(3), object()):
        assert (one == stranger) is False if not isinstance(stranger, np.ndarray) else True
    assert one in [one]
    assert isinstance(repr(one), str)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("history", lambda it: replace(it, metric=it.metric + 1)),
        ("history", lambda it: replace(it, metric=it.metric[:-1])),
        ("image", lambda it: replace(it, array=array([[1.0, np.nan], [3.0, 5.0]]))),
        ("image", lambda it: replace(it, array=it.array[:1])),
        ("image", lambda it: replace(it, spacing=None)),
        ("image", lambda it: replace(it, direction=-np.eye(2))),
        ("points", lambda it: replace(it, positions=it.positions[::-1])),
        ("points", lambda it: replace(it, names=("a", "c"))),
        ("chain", lambda it: Chain(it.maps)),
        (
            "chain",
            lambda it: Chain(it.maps, {name: each + each for name, each in it.fields.items()}),
        ),
        ("result", lambda it: replace(it, image=it.image + 1)),
        ("result", lambda it: replace(it, stopped=True)),
        ("rerun", lambda it: replace(it, result=replace(it.result, image=it.result.image + 1))),
        ("cohort", lambda it: replace(it, table=it.table.iloc[:1])),
    ],
)
def test_different(
    name: str,
    changed: Callable[[Any], Any],
    result: Result,
) -> None:
    one = instances(result)[name]
    other = changed(one)
    assert (one == other) is False
    assert (one != other) is True


def test_grids_of_images_count() -> None:
    image = sitk.Image([3, 3], sitk.sitkUInt8)
    moved = sitk.Image(image)
    moved.SetOrigin((1, 0))
    assert same(image, sitk.Image(image))
    assert not same(image, moved)
    assert not same(image, sitk.Cast(image, sitk.sitkInt16))
    assert voxels(image).shape == (3, 3)
