"""The plugin as a guest in a Python process: import orders, locks, threads, torch's own state."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from helpers import programs, tiny_models

PROGRAM = Path(__file__).resolve().parent / "programs" / "in_one_process.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "layers.pt"
    return str(tiny_models.save(tiny_models.Layers(3), path))


def run(*arguments: str) -> str:
    """Run the program in a fresh process, which must end well and complain of nothing."""
    process = programs.python(PROGRAM, *arguments, timeout=120)
    assert process.stderr == ""
    assert process.returncode == 0, process.stdout
    return process.stdout


ORDERS = {
    ",".join(order): where
    for order, where in zip(
        itertools.permutations(("torch", "itk", "impact_plugin")),
        ("main", "worker", "worker", "main", "main", "worker"),
        strict=True,
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_imports(model: str, order: str) -> None:
    """Both modes run, in the main thread or in another, and the process ends as it should.

    With impact_plugin comes its compiled module _core, which brings torch's libraries along.
    """
    assert run("orders", model, order, ORDERS[order]) == "done\n"


@pytest.fixture(scope="module")
def found(model: str) -> dict[str, Any]:
    """What one process found, by the name of what it did."""
    return dict(json.loads(line) for line in run("others", model).splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_other_threads_go_on_meanwhile(found: dict[str, Any], mode: str) -> None:
    """ITK's wrapping holds Python's lock throughout; the metric lets go of it while it works.

    A thread that wants a tick each millisecond gets about one for each of processor time; beside a
    metric of elastix's own, which does not let go, one in a hundred.
    """
    counted, own = found[f"ticks {mode}"], found["ticks elastix's own"]
    rate = counted["ticks"] / counted["milliseconds"]
    assert rate > 5 * own["ticks"] / own["milliseconds"], (counted, own)
    assert counted["ticks"] > 20


@pytest.mark.slow
def test_torch_s_state_does_not_matter_and_stays(found: dict[str, Any]) -> None:
    different = found["torch_state"]
    assert [text for text in different if not text.startswith("inference_mode")] == []


@pytest.mark.slow
def test_inference_mode(found: dict[str, Any]) -> None:
    different = found["torch_state"]
    assert [text for text in different if text.startswith("inference_mode")] == []


@pytest.mark.slow
def test_exceptions_in_threads(found: dict[str, Any]) -> None:
    wrong, too_few_samples = found["failing_threads"]
    assert wrong.startswith('Metric "Impact" cannot run:\nDistance (resolution level 0): "L7"')
    # In the middle of a registration.
    assert too_few_samples.startswith('Metric "Impact" cannot go on (resolution level 0, iteration')
    assert "Too many samples map outside moving image buffer" in too_few_samples


@pytest.mark.slow
def test_several_registrations_at_once(found: dict[str, Any]) -> None:
    """In four threads, each with the result that it has alone."""
    assert found["several_at_once"] == 24


@pytest.mark.slow
def test_program_that_knows_only_itk(tmp_path: Path) -> None:
    """In Jacobian mode; run_clean_install.sh runs it in the other."""
    program = PROGRAM.with_name("stock_itk.py")
    process = programs.python("-I", program, "--mode", "Jacobian", cwd=tmp_path)
    assert process.stderr == ""
    assert process.returncode == 0
    assert process.stdout.startswith("Jacobian: expected [ 2.6 -1.9  2.3] mm, found ")


@pytest.mark.slow
def test_metric_loaded_after_itk(found: dict[str, Any]) -> None:
    """The same for any number of threads, to the bit."""
    values = found["metric_after_itk"]
    assert set(values) == {"Static", "Jacobian"}
    assert all(0.01 < value < 1.0 for value in values.values())
