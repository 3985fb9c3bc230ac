"""The table of public models, and the names by which they are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from impact_plugin import models
from impact_plugin.models.catalogue import OLD_REVISION, REVISION

ROOT = Path(__file__).resolve().parent.parent


def test_entries_hold_together() -> None:
    entries = models.catalogue()
    assert len({entry.name for entry in entries}) == len(entries) >= 28
    for entry in entries:
        assert entry.file == f"{entry.name}.pt"
        assert len(entry.layers) == len(entry.strides) == len(entry.field_of_view) > 0
        assert entry.verified == (entry.measured_on is not None)
        for checksum in (entry.sha256, entry.measured_on):
            assert checksum is None or re.fullmatch("[0-9a-f]{64}", checksum)
        assert entry.revision == REVISION
        for name in (entry.name, entry.file, entry.name.lower(), *entry.aliases):
            assert models.find(name) == entry


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("M730", "TS/M730"),
        ("ts/m291.PT".replace("PT", "pt"), "TS/M291"),
        ("TotalSegmentator", "TS/M291"),
        ("TotalSegmentator MR", "TS/M730"),
        ("R1D2", "MIND/R1D2_3D"),
        ("MIND/R1D2", "MIND/R1D2_3D"),
        ("MIND", "MIND/R1D2_3D"),
        ("R2D2_2D.pt", "MIND/R2D2_2D"),
        ("SAM2.1", "SAM2.1/SAM2.1_Tiny"),
        ("SAM2.1_Small", "SAM2.1/SAM2.1_Small"),
        ("dinov2", "DinoV2/Small"),
        ("Anatomix", "Anatomix/Anatomix"),
        ("/Data/Models/TS/M850.pt", "TS/M850"),
        ("C:\\models\\TS\\M730.pt", "TS/M730"),
        ("somewhere/M730.pt", "TS/M730"),
    ],
)
def test_names_of_today(name: str, found: str) -> None:
    assert models.find(name).name == found


@pytest.mark.parametrize(
    ("name", "file", "layers"),
    [
        ("M730_2_Layers.pt", "TS/M730_2_Layers.pt", (32, 64)),
        ("TS/M291_8_Layers", "TS/M291_8_Layers.pt", (32, 64, 128, 256, 320, 320, 32, 25)),
        ("/Data/Models/SAM2.1/Tiny_2_Layers.pt", "SAM2.1/Tiny_2_Layers.pt", (96, 192)),
        ("Small_1_Layers", "DinoV2/Small_1_Layers.pt", (384,)),
    ],
)
def test_old_names_mean_the_file_itself(name: str, file: str, layers: tuple[int, ...]) -> None:
    entry = models.find(name)
    assert (entry.file, entry.layers, entry.revision) == (file, layers, OLD_REVISION)


@pytest.mark.parametrize(
    ("name", "near"),
    [("M370", "TS/M730"), ("TS/M999", "TS/M"), ("dinov3", "DinoV2/Small"), ("mnid", "MIND/")],
)
def test_unknown_names_get_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf'named "{name}"\. Nearest: .*{near}.*models list'):
        models.find(name)


@pytest.mark.parametrize("name", ["SAM2.1/Small.pt", "M850_2_Layers.pt", "M733_8_Layers", ""])
def test_names_that_only_look_like_one(name: str) -> None:
    with pytest.raises(ValueError, match="No public model is named"):
        models.find(name)


def test_encoders_fields_of_view() -> None:
    """Two convolutions of 3 x 3 x 3 a level, the first with stride 2 from the second level on."""
    entry = models.find("TS/M291")
    assert entry.field_of_view == (5, 11, 23, 47, 95, 191, None, None)
    assert entry.strides == (1, 2, 4, 8, 16, 32, 1, 1)


def test_curated_maps_name_models_of_the_table() -> None:
    paths = set()
    for path in (ROOT / "ParameterMaps").glob("*.txt"):
        for line in path.read_text().splitlines():
            if "ModelsPath" in line and line.startswith("("):
                paths |= set(re.findall(r"[\w./]+\.pt", line))
    assert len(paths) > 5
    for name in paths - {"MIND_R1D2_3D.pt"}:  # that one mind() writes
        assert models.find(name).file.endswith(name)


def table() -> str:
    """The table of docs/models.md."""
    lines = ["| Name | Input | Layers: channels | Field of view | mm | What it is |"]
    lines.append("|---" * 6 + "|")
    for entry in models.catalogue():
        views = " ".join("-" if view is None else str(view) for view in entry.field_of_view)
        voxel_size = "-" if entry.voxel_size is None else f"{entry.voxel_size:g}"
        lines.append(
            f"| `{entry.name}`{' *' if entry.verified else ''} "
            f"| {entry.dimension}D, {entry.input_channels} | {' '.join(map(str, entry.layers))} "
            f"| {views} | {voxel_size} | {entry.family}: {entry.about} |"
        )
    return "\n".join(lines)


def test_the_manual_has_the_table() -> None:
    assert table() in (ROOT / "docs" / "models.md").read_text(), table()
