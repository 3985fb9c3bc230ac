"""Every parameter with every kind of mistake: what is said, with its name as written."""

from __future__ import annotations

import pytest

from impact_plugin import _core

MODELS = {"ModelsPath": ["a.pt b.pt"], "VoxelSize": ["2*2*2"]}

# The mistakes, and what is said of them. Two models, one level, images of three dimensions.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "ModelsPath": [("", "no model is given"), (" ", "no model is given")],
    "Dimension": [
        ("2 3 2", "3 values"),
        ("two", '"two" is not allowed. Allowed: 2 or 3'),
        ("-2", '"-2" is not allowed. Allowed: 2 or 3'),
        ("0", '"0" is not allowed. Allowed: 2 or 3'),
        ("nan", '"nan" is not allowed. Allowed: 2 or 3'),
        ("", '0 values ("") for 2 models'),
    ],
    "NumberOfChannels": [
        ("1 1 1", "3 values"),
        ("grey", '"grey" is not allowed. Allowed: a whole number from 1 up'),
        ("-1", '"-1" is not allowed'),
        ("0", '"0" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("1.5", '"1.5" is not allowed'),
        ("", '0 values ("") for 2 models'),
    ],
    "PatchSize": [
        ("5*5*5*5", "4 numbers"),
        ("large", '"large" is not allowed. Allowed: whole numbers of voxels'),
        ("-5*5*5", '"-5" is not allowed'),
        ("0*0*0", "0 (the whole image) is possible in Static mode only"),
        ("nan*5*5", '"nan" is not allowed'),
        ("5.5*5*5", '"5.5" is not allowed'),
        ("1000000*5*5", '"1000000" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "VoxelSize": [
        ("1*1*1*1", "4 numbers"),
        ("fine", '"fine" is not allowed. Allowed: numbers of mm greater than 0'),
        ("-1*1*1", '"-1" is not allowed'),
        ("0*0*0", '"0" is not allowed'),
        ("nan*1*1", '"nan" is not allowed'),
        ("inf*1*1", '"inf" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "LayersMask": [
        ("1 1 1", "3 values"),
        ("all", '"all" is not allowed. Allowed: one 0 or 1 for each output'),
        ("-1", '"-1" is not allowed'),
        ("0", '"0" is not allowed. Allowed: one 0 or 1 for each output of the model, at least one'),
        ("nan", '"nan" is not allowed'),
        ("", '0 values ("") for 2 models'),
    ],
    "FeatureNormalization": [
        ("l2 none l2", "3 values"),
        ("L2", '"L2" is not allowed. Allowed: "none", "l2", "standardized"'),
        ("true", '"true" is not allowed'),
        ("", '0 values ("") for 2 models'),
    ],
    "Distance": [
        ("L1 L2 L1", "3 values"),
        ("MI", '"MI" is not allowed. Allowed: "L1", "L2"'),
        ("l2", '"l2" is not allowed'),
        ("1", '"1" is not allowed'),
        ("", '0 values ("") for 2 selected layers'),
    ],
    "PCA": [
        ("1 1 1", "3 values"),
        ("some", '"some" is not allowed. Allowed: a whole number of principal components'),
        ("-1", '"-1" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("2.5", '"2.5" is not allowed'),
        ("", "0 values"),
    ],
    "LayersWeight": [
        ("1 1 1", "3 values"),
        ("much", '"much" is not allowed. Allowed: a number from 0 up'),
        ("-1", '"-1" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("1e999", '"1e999" is not allowed'),
        ("", "0 values"),
    ],
    "SubsetFeatures": [
        ("1 1 1", "3 values"),
        ("few", '"few" is not allowed. Allowed: a whole number of channels, 0 for all'),
        ("-1", '"-1" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("2.5", '"2.5" is not allowed'),
        ("", "0 values"),
    ],
    "Mode": [
        ("static", '"static" is not allowed. Allowed: "Static" or "Jacobian"'),
        ("1", '"1" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "GPU": [
        ("cuda:0", '"cuda:0" is not allowed. Allowed: -1 for the CPU, or the index of a GPU'),
        ("-2", '"-2" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("0.5", '"0.5" is not allowed'),
        ("99999999999", '"99999999999" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "UseMixedPrecision": [
        ("yes", '"yes" is not allowed. Allowed: "true" or "false"'),
        ("1", '"1" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "NormalizeLosses": [
        ("yes", '"yes" is not allowed. Allowed: "true" or "false"'),
        ("True", '"True" is not allowed'),
        ("1", '"1" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "MutualInformationWeight": [
        ("much", '"much" is not allowed. Allowed: a number from 0 up; 0: none'),
        ("-0.3", '"-0.3" is not allowed'),
        ("inf", '"inf" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "BendingEnergyLimit": [
        ("stiff", '"stiff" is not allowed. Allowed: a number from 0 up; 0: none'),
        ("-1", '"-1" is not allowed'),
        ("inf", '"inf" is not allowed'),
    ],
    "BendingEnergyWeight": [
        ("stiff", '"stiff" is not allowed. Allowed: a number from 0 up; 0: none'),
        ("-1", '"-1" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("inf", '"inf" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "FeaturesMapUpdateInterval": [
        ("often", '"often" is not allowed. Allowed: -1, to make the features once per level, or'),
        ("-2", '"-2" is not allowed'),
        ("nan", '"nan" is not allowed'),
        ("2.5", '"2.5" is not allowed'),
        ("", '"" is not allowed'),
    ],
    "WriteFeatureMaps": [("", '"" is not allowed. Allowed: "false", "true", or the folder')],
    "FeatureMapOutputDirectory": [("", '"" is not allowed. Allowed: "false", "true", or the')],
}


def spellings(name: str) -> list[str]:
    per_image = {p.name: p.per_image for p in _core.parameter_table()}[name]
    sides = ["", "Fixed", "Moving"] if per_image else [""]
    return [prefix + side + name + level for side in sides for prefix, level in PREFIXES]


PREFIXES = [("", ""), ("Impact", ""), ("Impact", "0"), ("Metric0", "")]


def test_no_parameter_is_left_out() -> None:
    assert set(MISTAKES) == {parameter.name for parameter in _core.parameter_table()}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [(name, value, said) for name, cases in MISTAKES.items() for value, said in cases],
)
def test_mistake(name: str, value: str, said: str) -> None:
    for spelling in spellings(name):
        # In the dialect of elastix 5.3.1 the values of a level stand side by side.
        values = value.split() or [value] if spelling.endswith("0") else [value]
        _, findings = _core.parse_settings({**MODELS, spelling: values}, 1, 3, "Metric0")
        errors = [finding for finding in findings if finding.is_error]
        assert [error.parameter for error in errors] == [spelling] * len(errors)
        assert errors, f"{spelling} {values!r} passes"
        assert {error.kind for error in errors} <= {"value", "count", "missing-parameter"}
        assert all(error.remedy for error in errors)
        if value or not spelling.endswith("0"):
            assert said in errors[0].message
            assert errors[0].message.startswith(f"{spelling} (resolution level 0): ")
