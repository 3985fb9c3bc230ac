"""What can be evaluated, what is refused, and the command ``impact-plugin evaluate``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.evaluated import FIXED, GEOMETRY, GRID, POINTS, box, image
from helpers.images import Array
from helpers.pairs import grid_of, sitk_pair, squares
from helpers.registrations import SHIFTS
from impact_plugin.evaluation import Evaluation, evaluate
from impact_plugin.transforms import to_elastix


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> impact_plugin.RegistrationResult:
    """A registration of images SHIFTS[3] apart, in two stages, with an initial transform."""
    fixed, moving = sitk_pair()
    return impact_plugin.register_images(
        fixed,
        moving,
        parameter_maps=[squares(), squares(Transform="AffineTransform")],
        initial_transform=sitk.TranslationTransform(3, [1.0, 0.0, 0.0]),
        output_directory=tmp_path_factory.mktemp("elastix"),
        iterations=40,
        seed=1,
    )


def figures(found: Evaluation) -> Array:
    """All numbers but those of the first steps, whose names differ."""
    return np.array([row.value for row in found.after.rows()], dtype=float)


def test_results_folders_and_parameter_files(
    registered: impact_plugin.RegistrationResult, tmp_path: Path
) -> None:
    measure = {"fixed_points": POINTS, "moving_points": POINTS + SHIFTS[3]}
    live = registered.evaluate(**measure)
    names = [step.name for step in live.steps]
    assert names == ["unregistered", "initial transform", "map 0", "map 1"]
    means = [step.landmarks.mean for step in live.steps if step.landmarks]
    assert means[0] == pytest.approx(np.linalg.norm(SHIFTS[3]))
    assert means[1] == pytest.approx(np.linalg.norm(SHIFTS[3] - [1, 0, 0]))
    assert means[3] < 0.3

    saved = registered.save(tmp_path / "saved")
    assert evaluate(saved, **measure).to_dict() == live.to_dict()
    kinds = [
        "unregistered",
        "1 TranslationTransform",
        "2 TranslationTransform",
        "3 AffineTransform",
    ]
    own = registered.output_directory
    assert own is not None
    assert evaluate(own, **measure).to_dict() == live.to_dict()
    (own / "result.json").unlink()  # as elastix leaves it
    for path in (saved / "TransformParameters.1.txt", own, str(own)):
        found = evaluate(path, **measure)
        assert [step.name for step in found.steps] == kinds
        np.testing.assert_allclose(figures(found), figures(live), atol=1e-4)
    found = evaluate(saved / "transform.h5", fixed_image=sitk_pair()[0], **measure)
    np.testing.assert_allclose(figures(found), figures(live), atol=1e-4)


def test_transforms_that_only_elastix_has(tmp_path: Path) -> None:
    """Translations that are added, not composed: transformix applies them."""
    for number, shift in enumerate(([4.0, 0.0, 0.0], [0.0, 5.0, 0.0])):
        chain = to_elastix.from_sitk(sitk.TranslationTransform(3, shift), GEOMETRY)
        chain.maps[0]["HowToCombineTransforms"] = ["Add"]
        file = chain.write(tmp_path, f"T{number}")
        assert file is not None
        if number:
            first = str(tmp_path / "T0.0.txt")
            file.write_text(file.read_text().replace("NoInitialTransform", first))
    found = evaluate(
        tmp_path / "T1.0.txt",
        fixed_points=POINTS,
        moving_points=POINTS + np.array([4.0, 5.0, 0.0]),
        fixed_labels=image(box((6, 14), (5, 20), (4, 19))),
        moving_labels=image(box((6, 14), (5, 20), (4, 19))),
    )
    after = found.after
    assert after.landmarks is not None
    assert after.jacobian is not None
    assert after.labels is not None
    assert after.landmarks.max < 1e-5
    assert after.jacobian.mean == pytest.approx(1)
    assert 0 < after.labels[1].dice < 1


# bad input


def test_what_is_no_transform_under_the_name_of_one(tmp_path: Path) -> None:
    (tmp_path / "TransformParameters.0.txt").write_text("junk\n")
    with pytest.raises(ValueError, match=r"TransformParameters\.0\.txt:1: expected \(Name value"):
        evaluate(tmp_path)


LABELS = image(box((6, 14), (5, 20), (4, 19)))
OTHER_GRID = sitk.Image(LABELS)
OTHER_GRID.SetSpacing([2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed_points": POINTS}, "fixed_points and moving_points go together"),
        ({"fixed_labels": LABELS}, "fixed_labels and moving_labels go together"),
        ({"jacobian": False}, "there is nothing to measure"),
        ({"outside": "ignore"}, "outside is 'ignore', expected 'error' or 'leave out'"),
        (
            {"fixed_points": POINTS, "moving_points": POINTS[:5]},
            "there are 8 fixed_points and 5 moving_points",
        ),
        (
            {"fixed_points": POINTS[:, :2], "moving_points": POINTS},
            r"fixed_points has the shape \(8, 2\), expected \(N, 3\), mm",
        ),
        (
            {"fixed_points": [["a"]], "moving_points": POINTS},
            r"fixed_points: expected a path or numbers of the shape \(N, 3\)",
        ),
        (
            {"fixed_points": POINTS * np.nan, "moving_points": POINTS},
            "fixed_points has coordinates that are not finite",
        ),
        (
            {"fixed_labels": OTHER_GRID, "moving_labels": LABELS},
            "fixed_labels does not lie on the grid of the fixed image: spacing",
        ),
        (
            {"fixed_labels": LABELS, "moving_labels": LABELS * 3},
            "no label in common: fixed_labels has 1, moving_labels 3",
        ),
        (
            {"fixed_labels": LABELS, "moving_labels": LABELS * 0},
            "moving_labels is empty",
        ),
        (
            {"fixed_labels": sitk.Cast(LABELS, sitk.sitkFloat32) * 0.4, "moving_labels": LABELS},
            "fixed_labels is no label map: it has the value 0.4",
        ),
        (
            {"fixed_labels": sitk_pair()[0], "moving_labels": LABELS},
            "fixed_labels is no label map: it has the value -",
        ),
        (
            {"fixed_labels": LABELS, "moving_labels": LABELS[:, :, 8]},
            "the fixed image has 3 dimensions",
        ),
        ({"mask": OTHER_GRID}, "mask does not lie on the grid of the fixed image"),
        ({"fixed_image": OTHER_GRID}, "fixed_image is not the one that was registered: spacing"),
    ],
)
def test_wrong_arguments(
    registered: impact_plugin.RegistrationResult, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(registered, **arguments)


def test_what_is_no_registration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        evaluate(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no registration: neither result\.json"):
        evaluate(tmp_path)
    (tmp_path / "parameters.txt").write_text('(Metric "Impact")\n')
    with pytest.raises(ValueError, match="is no transform parameter file"):
        evaluate(tmp_path / "parameters.txt")
    sitk.WriteImage(LABELS, str(tmp_path / "image.mha"))
    with pytest.raises(ValueError, match="give fixed_image"):
        evaluate(tmp_path / "image.mha")
    with pytest.raises(ValueError, match=r"registration: .* is neither a transform parameter file"):
        evaluate(tmp_path / "image.mha", fixed_image=LABELS)
    (tmp_path / "affine.txt").write_text('(Transform "TranslationTransform")\n')
    with pytest.raises(ValueError, match=r"does not say where .* Give fixed_image"):
        evaluate(tmp_path / "affine.txt")
    with pytest.raises(TypeError, match=r"registration is a builtins\.int"):
        evaluate(3, fixed_image=LABELS)


def test_a_grey_image_with_many_values_is_no_label_map() -> None:
    grey = image(np.arange(np.prod(GRID.size), dtype=np.int32).reshape(GRID.size[::-1]))
    with pytest.raises(ValueError, match="fixed_labels is no label map: it has 26520 different"):
        evaluate(
            sitk.Transform(3, sitk.sitkIdentity),
            fixed_image=FIXED,
            fixed_labels=grey,
            moving_labels=LABELS,
        )


# the command


def test_command(registered: impact_plugin.RegistrationResult, tmp_path: Path) -> None:
    registered.save(tmp_path / "result")
    for name, points in (("f.txt", POINTS), ("m.txt", POINTS + SHIFTS[3])):
        rows = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
        (tmp_path / name).write_text(f"point\n{len(points)}\n{rows}\n")
    sitk.WriteImage(LABELS, str(tmp_path / "labels.nii.gz"))
    out = [tmp_path / f"figures{suffix}" for suffix in (".csv", ".json", ".txt")]
    arguments = [
        *("evaluate", tmp_path / "result"),
        *("--fixed-points", tmp_path / "f.txt", "--moving-points", tmp_path / "m.txt"),
        *("--fixed-labels", tmp_path / "labels.nii.gz"),
        *("--moving-labels", tmp_path / "labels.nii.gz"),
        *(part for path in out for part in ("-o", path)),
    ]
    run = programs.plugin(*arguments)
    assert run.exit_code == 0, run.output
    assert run.output == out[2].read_text()
    for text in ("Error of 8 landmarks, mm", "map 1, label 1", "Jacobian determinant"):
        assert text in run.output
    document = json.loads(out[1].read_text())
    figures_of = list(csv.DictReader(out[0].read_text().splitlines()))
    assert len(document["steps"]) == 4
    last = [row for row in figures_of if row["step"] == "map 1"]
    mean = next(row for row in last if row["statistic"] == "mean" and row["measure"] == "landmarks")
    assert float(mean["value"]) == document["steps"][-1]["landmarks"]["mean"]
    assert mean["unit"] == "mm"
    assert sum(row["statistic"] == "error" for row in last) == 8


def test_command_refuses(registered: impact_plugin.RegistrationResult, tmp_path: Path) -> None:
    registered.save(tmp_path)
    (tmp_path / "f.txt").write_text("point\n1\n999 0 0\n")
    points = ["--fixed-points", str(tmp_path / "f.txt"), "--moving-points", str(tmp_path / "f.txt")]
    run = programs.plugin("evaluate", tmp_path, *points)
    assert run.exit_code == 1
    assert "1 of 1 fixed_points lie outside" in run.output
    assert "--leave-out-outside leaves them out" in run.output
    run = programs.plugin("evaluate", tmp_path, "-o", "figures.xlsx")
    assert run.exit_code == 2
    assert "expected a name that ends in .csv, .json, .txt" in run.output
    run = programs.plugin("evaluate", tmp_path / "f.txt")
    assert run.exit_code == 1
    assert "give fixed_image" in run.output


def test_a_saved_registration_of_two_dimensions(tmp_path: Path) -> None:
    fixed, moving = sitk_pair(2)
    result = impact_plugin.register_images(fixed, moving, parameter_maps=squares(2), iterations=40)
    points = grid_of(fixed).random_points(5, margin=0.2)
    found = result.evaluate(fixed_points=points, moving_points=points + SHIFTS[2])
    assert found.after.landmarks is not None
    assert found.after.jacobian is not None
    assert found.after.landmarks.max < 0.5
    assert found.after.jacobian.mean == pytest.approx(1)


def test_points_in_ras(registered: impact_plugin.RegistrationResult, tmp_path: Path) -> None:
    """By `axes`, of positions and of files that do not say it; what says it is as it says."""
    signs = np.array([-1, -1, 1])
    fixed, moving = POINTS, registered.map_points(POINTS) + 0.5
    expected = registered.evaluate(fixed_points=fixed, moving_points=moving, jacobian=False)
    turned = {"fixed_points": fixed * signs, "moving_points": moving * signs}
    for figures in (
        registered.evaluate(**turned, axes="RAS", jacobian=False),
        evaluate(registered, **turned, axes="RAS", jacobian=False),
    ):
        assert figures.after.landmarks is not None
        assert expected.after.landmarks is not None
        np.testing.assert_allclose(
            figures.after.landmarks.distances, expected.after.landmarks.distances
        )
    assert expected.after.landmarks is not None
    for name, points in turned.items():
        np.savetxt(tmp_path / f"{name}.txt", points)
    registered.save(tmp_path / "result")
    arguments = ["evaluate", str(tmp_path / "result"), "--no-jacobian"]
    arguments += ["--fixed-points", str(tmp_path / "fixed_points.txt")]
    arguments += ["--moving-points", str(tmp_path / "moving_points.txt")]
    run = programs.plugin(*arguments, "--axes", "RAS")
    assert run.exit_code == 0, run.output
    assert expected.after.landmarks is not None
    assert f"{expected.after.landmarks.mean:.2f}" in run.output
    run = programs.plugin(*arguments)
    assert run.exit_code == 1
    assert "--axes RAS" in run.output
    run = programs.plugin(*arguments, "--axes", "LAS")
    assert run.exit_code == 2
    assert "'LPS', 'RAS'" in run.output
    with pytest.raises(ValueError, match="axes is 'LAS', expected 'LPS' or 'RAS'"):
        registered.evaluate(fixed_points=fixed, moving_points=moving, axes="LAS")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="axes is 'LAS', expected 'LPS' or 'RAS'"):
        registered.report(tmp_path / "r.html", axes="LAS")
