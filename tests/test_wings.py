from __future__ import annotations

from pathlib import Path

import pytest

from check_wings import faults

ROOT = Path(__file__).parents[1] / "src/cpp"


def test_every_file_is_in_its_wing_and_includes_what_is_below() -> None:
    assert list(faults(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "include", "reason"),
    [
        ("impact/base/text.h", '"impact/models/model.h"', "models is not below base"),
        ("impact/chain/unit.h", '"impact/tensors/torch_grid.h"', "tensors is not below chain"),
        ("impact/api/similarity.h", "<torch/script.h>", "torch is seen from runtime upwards"),
        ("impact/models/model.cpp", '"model.h"', 'included as "impact/WING/FILE"'),
        ("impact/tensors/torch_grid.h", "<itkImage.h>", "know neither ITK nor elastix"),
        ("impact/attic/old.h", "<vector>", "not in one of the wings"),
        ("metric/itkImpact.h", '"impact/runtime/device.h"', "metric sees api, base"),
        ("loader/loader.cpp", '"impact/base/error.h"', "loader sees none of the wings"),
    ],
)
def test_an_include_that_breaks_the_order_is_named(
    tmp_path: Path, file: str, include: str, reason: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"#pragma once\n\n#include {include}\n")

    (fault,) = faults(tmp_path)

    assert fault.startswith(file)
    assert reason in fault
