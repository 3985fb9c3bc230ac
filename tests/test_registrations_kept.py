"""Reports and figures are not written over the registration, nor over what it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

import impact_plugin
from helpers import programs
from helpers.pairs import squares, write_pair
from impact_plugin.parameters import map_files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, a map, a result in ``w``, and what elastix itself wrote in ``e``."""
    path = tmp_path_factory.mktemp("kept")
    write_pair(path)
    parameters = squares(
        MaximumNumberOfIterations=2, WriteResultImage="true", ResultImageFormat="mha"
    )
    (path / "p.txt").write_text(map_files.dump(parameters))
    impact_plugin.register_images(
        *(path / "f.mha", path / "m.mha"),
        parameter_maps=path / "p.txt",
        threads=1,
        output_directory=path / "w",
    )
    (path / "e").mkdir()
    given = ("-f", path / "f.mha", "-m", path / "m.mha", "-p", path / "p.txt", "-out", path / "e")
    done = programs.run("elastix", *given, "-threads", "1", folder=path)
    assert done.returncode == 0, done.stdout[-2000:]
    return path


def contents(path: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}


OWN = ["w/result.mha", "w/transform.h5", "w/record.json", "w/result.json", "w/elastix.log"]
OF_ELASTIX = ["e/elastix.log", "e/result.0.mha", "e/TransformParameters.0.txt"]


@pytest.mark.parametrize("target", ["f.mha", "m.mha", *OWN, *OF_ELASTIX])
def test_a_page_is_written_over_nothing_of_a_registration(target: str, place: Path) -> None:
    before = contents(place)
    for folder in ("e",) if target in OF_ELASTIX else ("w",) if target in OWN else ("w", "e"):
        with pytest.raises(ValueError, match=r"would be overwritten by what is written to"):
            impact_plugin.write_report(place / folder, place / target)
    if target not in OF_ELASTIX:
        result = impact_plugin.RegistrationResult.load(place / "w")
        with pytest.raises(ValueError, match="would be overwritten"):
            result.report(place / target)
    assert contents(place) == before


@pytest.mark.parametrize("target", ["w/result.json", "w/record.json"])
def test_figures_are_written_over_nothing_of_a_registration(target: str, place: Path) -> None:
    before = contents(place)
    done = programs.run("plugin", "evaluate", "w", "-q", "-o", target, folder=place)
    assert done.returncode == 1
    assert "would be overwritten" in done.stderr
    assert contents(place) == before
    text = "e/TransformParameters.0.txt"
    done = programs.run("plugin", "evaluate", text, "-q", "-o", text, folder=place)
    assert done.returncode == 1
    done = programs.run("plugin", "evaluate", "w", "-q", "-o", "w/figures.json", folder=place)
    assert done.returncode == 0, done.stderr
    (place / "w/figures.json").unlink()
