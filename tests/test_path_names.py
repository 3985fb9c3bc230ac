"""Paths that are not UTF-8, as from archives of old programs, end Python inside SimpleITK.

They are refused before anything runs, wherever a path comes in; UTF-8 is taken under any locale.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.pairs import shift_error, sitk_pair, squares
from helpers.parameter_maps import as_text, parameter_map
from helpers.programs import program_path
from impact_plugin._io import PathNameError, expanded, utf8_name
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.initial import make_chain

PROGRAM = Path(__file__).parent / "programs" / "name_paths.py"
LATIN = os.fsdecode(b"b\xfcd")
REFUSED = r"the path '[^']*\\[xu][0-9a-f]{2}[^']*' has bytes that are not UTF-8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mind: Mapping[int, str]) -> Path:
    """Everything that a path may be of, and the same in a folder whose name is not UTF-8."""
    place = tmp_path_factory.mktemp("names")
    fixed, moving = sitk_pair(2)
    sitk.WriteImage(fixed, str(place / "fixed.mha"))
    sitk.WriteImage(moving, str(place / "moving.mha"))
    sitk.WriteImage(sitk.Cast(fixed > 100, sitk.sitkUInt8), str(place / "labels.mha"))
    sitk.WriteTransform(sitk.TranslationTransform(2, (1.0, 2.0)), str(place / "start.tfm"))
    centre = fixed.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed.GetSize()])
    (place / "points.txt").write_text(f"point\n1\n{centre[0]} {centre[1]}\n")
    (place / "map.txt").write_text(as_text(squares(2)))
    (place / "model_map.txt").write_bytes(
        as_text(parameter_map(2, Metric="Impact")).encode()
        + b'(ImpactModelsPath0 "b\xfcd/model.pt")'
    )
    (place / "pairs.csv").write_text("fixed,moving\nfixed.mha,moving.mha\n")
    shutil.copy(mind[2], place / "model.pt")
    impact_plugin.register_images(
        place / "fixed.mha",
        place / "moving.mha",
        parameter_maps=squares(2),
        iterations=2,
        progress=False,
        output_directory=place / "out",
    ).save(place / "out")
    bad = place / LATIN
    shutil.copytree(place, bad, ignore=shutil.ignore_patterns(LATIN))
    _write_field(place, fixed, moving)
    shutil.copy(place / "field.txt", bad)
    for name in (b"sub-\xfc", b"sub-1"):
        (place / os.fsdecode(name)).mkdir()
        for file, image in (("f.mha", "fixed.mha"), ("m.mha", "moving.mha")):
            shutil.copy(place / image, place / os.fsdecode(name) / file)
    _write_dicom(place / "dicom")
    return place


def _write_field(place: Path, fixed: sitk.Image, moving: sitk.Image) -> None:
    """Write a transform of elastix whose displacement field's name is not UTF-8."""
    field = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat64, 2)
    field.CopyInformation(fixed)
    chain = make_chain(sitk.DisplacementFieldTransform(field), fixed, moving)
    file = chain.write(place, "Field")
    assert file is not None
    (place / "field0.mha").rename(place / LATIN / "field0.mha")
    said = str(place.absolute() / "field0.mha").encode()
    there = os.fsencode(place.absolute() / LATIN / "field0.mha")
    (place / "field.txt").write_bytes(file.read_bytes().replace(said, there))


def _write_dicom(place: Path) -> None:
    place.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(4):
        image = sitk.Cast(sitk_pair(2)[1], sitk.sitkInt16)
        for key, value in (
            ("0008|0060", "CT"),
            ("0020|000d", "1.2.3.1"),
            ("0020|000e", "1.2.3.2"),
            ("0020|0013", str(number)),
            ("0020|0032", f"0\\0\\{number}"),
            ("0020|0037", "1\\0\\0\\0\\1\\0"),
        ):
            image.SetMetaData(key, value)
        writer.SetFileName(str(place / f"{number}.dcm"))
        writer.Execute(image)
    (place / "2.dcm").rename(place / os.fsdecode(b"sch\xf6n.dcm"))


def test_every_entry_point_of_python_refuses_them(folder: Path) -> None:
    """In a process of its own, which lives on after each, and in which elastix is not started."""
    done = subprocess.run(
        [sys.executable, PROGRAM, folder],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=300,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(rows) > 40
    wrong = [row for row in rows if not re.search(REFUSED, row[2])]
    assert not wrong, "\n".join(map(str, wrong))


# ARG stands for one in the folder whose name is not UTF-8.
COMMANDS = [
    ("register", "ARG/fixed.mha", "moving.mha", "-o", "o"),
    ("register", "fixed.mha", "moving.mha", "-o", "ARG/o"),
    ("register", "fixed.mha", "moving.mha", "-o", "o", "-p", "ARG/map.txt"),
    ("register", "fixed.mha", "moving.mha", "-o", "o", "--labels", "ARG/labels.mha"),
    ("register", "fixed.mha", "moving.mha", "-o", "o", "--moving-mask", "ARG/labels.mha"),
    ("register", "fixed.mha", "moving.mha", "-o", "o", "-t", "ARG/start.tfm"),
    ("register", "fixed.mha", "moving.mha", "-o", "o", "--model", "M730.pt=ARG/model.pt"),
    ("evaluate", "ARG/out"),
    ("evaluate", "out", "--fixed-points", "ARG/points.txt", "--moving-points", "points.txt"),
    ("evaluate", "out", "-o", "ARG/figures.csv"),
    ("report", "ARG/out"),
    ("report", "out", "-o", "ARG/report.html"),
    ("rerun", "ARG/out"),
    ("features", "ARG/fixed.mha", "--model", "model.pt", "-o", "seen"),
    ("features", "fixed.mha", "--model", "ARG/model.pt", "-o", "seen"),
    ("check", "ARG/map.txt"),
    ("check", "map.txt", "-f", "ARG/fixed.mha", "-m", "moving.mha"),
    ("cohort", "ARG/pairs.csv", "-o", "many"),
    ("cohort", "pairs.csv", "-o", "ARG/many"),
    ("cohort-report", "ARG"),
    ("models", "inspect", "ARG/model.pt"),
    ("demo", "--data", "ARG"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_them(command: tuple[str, ...], folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = run([each.replace("ARG", LATIN) for each in command], folder)
    assert done.returncode == 2
    assert re.search(REFUSED, done.stderr)
    assert sorted(folder.iterdir()) == before


def run(
    arguments: list[str], folder: Path, program: str = "plugin", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program_path(program), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
    )


REGISTER = ["register", "fixed.mha", "moving.mha", "-q", "--preset", "rigid_mind"]


@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_CACHE_HOME", "IMPACT_CACHE_DIR"])
def test_folders_of_the_environment(variable: str, folder: Path) -> None:
    variables = {"IMPACT_CACHE_DIR": "", variable: str(folder / LATIN)}
    done = run([*REGISTER, "-o", "o"], folder, **variables)
    assert done.returncode == 1
    assert re.search(REFUSED, done.stderr)


def test_the_current_folder(folder: Path) -> None:
    done = run([*REGISTER, "-o", str(folder / "o")], folder / LATIN)
    assert done.returncode == 1
    assert re.search(REFUSED, done.stderr)


def test_elastix_s_own_programs_take_them(folder: Path, tmp_path: Path) -> None:
    """They hand bytes on as they are; a record is refused before elastix runs."""
    images = ["-f", f"{LATIN}/fixed.mha", "-m", f"{LATIN}/moving.mha", "-p", f"{LATIN}/map.txt"]
    arguments = [*images, "-out", str(tmp_path)]
    done = run(arguments, folder, "elastix")
    assert done.returncode == 0
    transform = tmp_path / "TransformParameters.0.txt"
    assert len(Chain.read(transform).maps) == 1
    transform.unlink()
    for changed in (
        [*arguments, "-record", str(tmp_path / "record.json")],
        [*arguments[2:-2], "-f", "fixed.mha", "-out", str(tmp_path), "-record", f"{LATIN}/r.json"],
    ):
        done = run(changed, folder, "elastix")
        assert done.returncode == 1
        assert re.search(REFUSED, done.stderr)
        assert not transform.exists()


def test_a_link_with_another_name_is_taken(folder: Path, tmp_path: Path) -> None:
    """As the message says: and the record knows the link."""
    for name in ("fixed.mha", "moving.mha"):
        (tmp_path / name).symlink_to(folder / LATIN / name)
    result = impact_plugin.register_images(
        tmp_path / "fixed.mha", tmp_path / "moving.mha", parameter_maps=squares(2), progress=False
    )
    assert shift_error(result) < 0.1
    result.save(tmp_path / "out")
    assert impact_plugin.rerun(tmp_path / "out", progress=False).same


LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX", "LANG": "POSIX"},
    # Python then has such paths in pieces that are no text.
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("locale", LOCALES)
def test_utf8_under_every_locale(locale: str, folder: Path, tmp_path: Path) -> None:
    names = {"fixed.mha": "größe.mha", "moving.mha": "脳.mha", "labels.mha": "étiquettes.mha"}
    for name, other in names.items():
        shutil.copy(folder / name, tmp_path / other)
    sitk.WriteTransform(sitk.TranslationTransform(2, (0.1, 0.2)), str(tmp_path / "été.tfm"))
    environment = LOCALES[locale]
    done = run(
        [
            *("register", "größe.mha", "脳.mha", "-o", "ö", "-q", "--preset", "rigid_mind"),
            *("--iterations", "3", "--labels", "étiquettes.mha", "-t", "été.tfm"),
        ],
        tmp_path,
        **environment,
    )
    assert done.returncode == 0, done.stderr
    labels = sitk.ReadImage(str(tmp_path / "ö" / "étiquettes_warped.mha"))
    assert set(np.unique(sitk.GetArrayFromImage(labels))) == {0, 1}
    for command in (
        ["evaluate", "ö", "-q", "-o", "fürs.csv"],
        ["report", "ö", "-o", "für.html"],
        ["rerun", "ö", "-q", "-o", "wieder-ö"],
        ["check", "ö/Parameters.0.txt", "-f", "größe.mha", "-m", "脳.mha"],
    ):
        done = run(command, tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "für.html").read_text(encoding="utf-8")
    assert "<title>ö" in page


def test_names() -> None:
    assert utf8_name("é/脳") == "é/脳"
    assert utf8_name(Path("a b")) == "a b"
    for wrong, shown in ((LATIN, r"b\\xfcd"), ("\ud800x", r"\\ud800x")):
        with pytest.raises(PathNameError, match=rf"the path '.*{shown}' has bytes .* \(ln -s\)"):
            utf8_name(wrong)
        with pytest.raises(PathNameError, match="not UTF-8"):
            expanded(wrong)
    assert expanded("~") == Path.home()
