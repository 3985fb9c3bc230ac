"""What a map says to no effect is named in a warning; what stands in the table is what is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from impact_plugin import _core

Map = dict[str, list[str]]

VALID: Map = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"]}
DOCUMENTATION = Path(__file__).parents[1] / "docs" / "parameters.md"


def warnings(parameter_map: Map, levels: int = 2, label: str = "") -> list[str]:
    _, findings = _core.parse_settings({**VALID, **parameter_map}, levels, 3, label)
    assert not [f.message for f in findings if f.is_error]
    return [f.message for f in findings]


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("PatchSizes", "PatchSize"),
        ("PatchSze", "PatchSize"),
        ("PacthSize", "PatchSize"),
        ("Distamce", "Distance"),
        ("layersmask", "LayersMask"),
        ("FixedVoxelsize", "FixedVoxelSize"),
        ("MovingModelPath", "MovingModelsPath"),
        ("ImpactPatchSizes", "ImpactPatchSize"),
        ("ImpactPatchSizes1", "ImpactPatchSize1"),
        ("ImpactLayerWeights", "ImpactLayersWeight"),
        ("ImpactPatchSizeInVoxels", "ImpactPatchSize"),
        ("ImpctPatchSize0", "ImpactPatchSize0"),
        ("impactPatchSize", "ImpactPatchSize"),
        ("ImpacMode", "ImpactMode"),
        ("ModelsPath0", "ModelsPath"),
    ],
)
def test_names_that_are_none(written: str, nearest: str) -> None:
    assert warnings({written: ["1"]}) == [
        f"{written}: there is no such parameter. The nearest is {nearest}."
    ]


@pytest.mark.parametrize(
    "name", ["Metric", "Transform", "NumberOfResolutions", "ImageSampler", "Registration"]
)
def test_other_names_are_no_concern(name: str) -> None:
    assert warnings({name: ["1"]}) == []


def test_names_with_a_label() -> None:
    assert warnings({"Metric1PatchSizes": ["1"]}, label="Metric1") == [
        "Metric1PatchSizes: there is no such parameter. The nearest is Metric1PatchSize."
    ]
    assert warnings({"Metric1PatchSizes": ["1"]}, label="Metric0") == []
    assert warnings({"Metric1Weight": ["1"], "Metric0Weight": ["1"]}, label="Metric0") == []


@pytest.mark.parametrize(
    ("change", "unused", "used"),
    [
        ({"ImpactVoxelSize0": ["1", "1", "1"]}, ["VoxelSize"], "ImpactVoxelSize0"),
        ({"ImpactVoxelSize": ["1*1*1"]}, ["VoxelSize"], "ImpactVoxelSize"),
        (
            {"ImpactGPU": ["-1"], "ImpactGPU0": ["-1"], "GPU": ["-1"]},
            ["GPU", "ImpactGPU"],
            "ImpactGPU0",
        ),
    ],
)
def test_contradicting_dialects(change: Map, unused: list[str], used: str) -> None:
    assert warnings(change) == [
        f"{name}: it is not used, because {used} stands in the map too. Keep one of them."
        for name in unused
    ]


def test_what_some_level_reads_is_used() -> None:
    assert warnings({"PatchSize": ["9*9*9", "11*11*11"], "ImpactPatchSize1": ["7"]}) == []
    assert warnings({"FixedPatchSize": ["5"], "MovingPatchSize": ["5"], "PatchSize": ["7"]}) == [
        "PatchSize: it is not used, because FixedPatchSize and MovingPatchSize stand in the map "
        "too. Keep one of them."
    ]
    # What the other metric reads; and labels that both have.
    assert warnings({"Metric1VoxelSize": ["1"]}, label="Metric1") == []
    assert warnings({"Metric1VoxelSize": ["1"], "Metric1ImpactVoxelSize": ["2"]}, label="Metric1")


def test_levels_have_no_leading_zeros() -> None:
    assert warnings({"ImpactPatchSize01": ["5"]})[0].startswith(
        "ImpactPatchSize01: there is no such parameter. The nearest is ImpactPatchSize1."
    )


def test_one_dialect_over_levels_contradicts_nothing() -> None:
    assert warnings({"ImpactPatchSize0": ["5"], "ImpactPatchSize1": ["7"]}) == []
    assert warnings({"FixedPatchSize": ["5"], "PatchSize": ["7"]}) == []


def test_more_values_than_levels() -> None:
    found = warnings({"Distance": ["L2", "L1", "NCC"]})
    assert len(found) == 1
    assert found[0].startswith(
        "Distance: it has entries for 3 resolution levels, but NumberOfResolutions is 2: the rest "
        "is not used."
    )
    assert len(warnings({"Mode": ["Static"] * 3})) == 1
    assert len(warnings({"VoxelSize": ["3*3*3", "2*2*2", "1*1*1"]})) == 1
    assert len(warnings({"VoxelSize": ["3"] * 9})) == 1
    assert warnings({"VoxelSize": ["3"] * 6}) == []
    assert warnings({"ImpactPatchSize2": ["5"]}) == [
        "ImpactPatchSize2: it is not used, because NumberOfResolutions is 2: the levels are "
        "counted from 0 to 1."
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"UseMixedPrecision": ["true"]}, "no effect in Jacobian mode on the CPU"),
        ({"FeaturesMapUpdateInterval": ["10"]}, "no effect in Jacobian mode"),
        ({"WriteFeatureMaps": ["features"]}, "no effect in Jacobian mode"),
        ({"ImpactFeatureMapOutputDirectory": ["features"]}, "no effect in Jacobian mode"),
    ],
)
def test_what_does_not_apply(change: Map, text: str) -> None:
    found = warnings(change)
    assert len(found) == 1
    name = next(iter(change))
    assert found[0].startswith(f"{name} (resolution levels 0 and 1): ")
    assert text in found[0]


@pytest.mark.parametrize(
    ("entry", "paths"),
    [
        ("a.pt b.pt", ["a.pt", "b.pt"]),
        ("my model.pt", ["my model.pt"]),
        ("/data/my models/a 1.pt other.pth", ["/data/my models/a 1.pt", "other.pth"]),
        ("a b", ["a", "b"]),
        ("  a.pt  ", ["a.pt"]),
    ],
)
def test_paths_with_spaces(entry: str, paths: list[str]) -> None:
    levels, _ = _core.parse_settings({**VALID, "ModelsPath": [entry]}, 1, 3)
    assert [model.path for model in levels[0].fixed_models] == paths


def rows_of_documentation() -> dict[str, tuple[str, str, str]]:
    """Type, unit and default of each parameter, from the tables of docs/parameters.md."""
    rows = {}
    for line in DOCUMENTATION.read_text().splitlines():
        match = re.match(r"\| `(\w+)`( \*)? \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", line)
        if match:
            name, star, *cells = (match.group(i) or "" for i in range(1, 6))
            kind, unit, default = (cell.strip().replace("`", "") for cell in cells)
            rows[name + star] = (kind, unit, default)
    return rows


def test_documentation_says_what_the_parser_reads() -> None:
    table = {
        parameter.name + (" *" if parameter.per_image else ""): (
            parameter.type,
            parameter.unit or "-",
            parameter.default or "required",
        )
        for parameter in _core.parameter_table()
    }
    assert rows_of_documentation() == table


def test_every_parameter_of_the_table_is_read() -> None:
    """A wrong value of any is an error that names it, with each prefix and for each image."""
    wrong = {"ModelsPath": "", "WriteFeatureMaps": "", "FeatureMapOutputDirectory": ""}
    for parameter in _core.parameter_table():
        sides = ["", "Fixed", "Moving"] if parameter.per_image else [""]
        for name in [
            spelling
            for side in sides
            for spelling in (side + parameter.name, f"Impact{side}{parameter.name}")
        ]:
            value = wrong.get(parameter.name, "wrong")
            _, findings = _core.parse_settings({**VALID, name: [value]}, 1, 3)
            assert any(f.is_error and f.parameter == name for f in findings), name
