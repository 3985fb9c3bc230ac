"""Registrations as they run: callbacks, stopping, Ctrl-C, the log, errors, bars."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import impact_plugin
from helpers import programs
from helpers.pairs import shift_error, sitk_pair, squares, write_pair
from helpers.parameter_maps import ParameterMap, as_text, parameter_map
from helpers.registrations import impact
from impact_plugin.elastix import components
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import to_elastix

LONG = 1_000_000_000


def with_impact(model: str, **parameters: str | float) -> ParameterMap:
    return parameter_map(3, **{**impact(3, "Static", model), **parameters})


@pytest.fixture
def empty_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, in which nothing must be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_callback_sees_every_iteration() -> None:
    seen: list[impact_plugin.Iteration] = []
    result = impact_plugin.register_images(
        *sitk_pair(), parameter_maps=[squares(), squares()], iterations=5, callback=seen.append
    )
    assert [(each.stage, each.level, each.number) for each in seen] == [
        (stage, 0, number) for stage in (0, 1) for number in range(5)
    ]
    assert [each.metric for each in seen] == result.history.metric.tolist()
    assert not result.stopped


@pytest.mark.parametrize("by_exception", [False, True])
def test_stopping_early(
    mind: dict[int, str], empty_temporary_folder: Path, by_exception: bool
) -> None:
    """The result is what there was by then; levels and stages that were to follow do not run."""

    def callback(iteration: impact_plugin.Iteration) -> object:
        if iteration.number == 40 and by_exception:
            raise impact_plugin.StopRegistration
        return np.mean([iteration.number, 40]) == 40  # True of numpy

    parameters = with_impact(
        mind[3],
        NumberOfResolutions=2,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=20,
        NumberOfJacobianMeasurements=50,
    )
    result = impact_plugin.register_images(
        *sitk_pair(), parameter_maps=[parameters] * 2, iterations=LONG, callback=callback
    )
    assert result.stopped
    assert set(result.history.level) == {0}
    assert set(result.history.stage) == {0}
    assert 41 <= len(result.history) < 100_000
    assert len(result.elastix_parameters) == 1
    assert shift_error(result) < 0.5
    assert list(empty_temporary_folder.iterdir()) == []


def test_stopping_early_with_several_metrics(mind: dict[int, str]) -> None:
    parameters = with_impact(
        mind[3],
        Registration="MultiMetricMultiResolutionRegistration",
        NumberOfResolutions=2,
    ) | {"Metric": ["Impact", "AdvancedMeanSquares"], "Metric1Weight": ["0.0001"]}
    result = impact_plugin.register_images(
        *sitk_pair(),
        parameter_maps=parameters,
        iterations=LONG,
        callback=lambda iteration: iteration.number == 20,
    )
    assert result.stopped
    assert set(result.history.level) == {0}
    assert len(result.elastix_parameters) == 1


def test_stopping_early_without_impact() -> None:
    """Elastix's own metrics cannot stop: the transform is that of the last level that ended."""
    parameters = squares(NumberOfResolutions=3) | {"MaximumNumberOfIterations": ["60", str(LONG)]}

    def register(level: int) -> impact_plugin.RegistrationResult:
        return impact_plugin.register_images(
            *sitk_pair(),
            parameter_maps=[squares(), parameters],
            callback=lambda at: (at.stage, at.level, at.number) == (1, level, 5),
        )

    result = register(level=1)
    assert result.stopped
    assert len(result.elastix_parameters) == 2
    assert shift_error(result) < 0.1
    # Before the first level of a stage has ended: the stage before.
    assert len(register(level=0).elastix_parameters) == 1


def test_an_exception_of_the_callback_ends_it(empty_temporary_folder: Path) -> None:
    def callback(iteration: impact_plugin.Iteration) -> None:
        message = f"at {iteration.number}"
        raise LookupError(message)

    with pytest.raises(LookupError, match="at 0"):
        impact_plugin.register_images(
            *sitk_pair(), parameter_maps=squares(), iterations=LONG, callback=callback
        )
    assert list(empty_temporary_folder.iterdir()) == []


PROGRAM = """
import os, signal, sys, threading, time
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where pytest's caller ignores it
import impact_plugin
from helpers.pairs import sitk_pair, squares

def started(iteration):
    if iteration.number == 50:
        print("running", flush=True)

try:
    impact_plugin.register_images(
        *sitk_pair(), parameter_maps=squares(), iterations=1000000000, callback=started
    )
except KeyboardInterrupt:
    print("interrupted", os.listdir(os.environ["TMPDIR"]), threading.active_count(), flush=True)
result = impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), iterations=3)
print("sound", len(result.history))
"""


def children_of(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in found.split()]


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupting_the_caller(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end a registration, without traces; so does the caller's end.

    The signal goes to the caller alone, as that of a notebook's button does.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, Path(__file__).parent],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        (child,) = children_of(process.pid)
        process.send_signal(number)
        if number == signal.SIGINT:
            assert process.stdout.readline() == "interrupted [] 1\n"  # of iterations without end
            assert process.stdout.read() == "sound 3\n"
            assert process.wait() == 0
        if number == signal.SIGTERM:
            assert process.stdout.read() == ""
            assert process.wait() == 128 + signal.SIGTERM
            assert list(tmp_path.iterdir()) == []
        end = time.monotonic() + 60  # by itself it would go on for days
        while is_running(child) and time.monotonic() < end:
            time.sleep(0.01)
        assert not is_running(child)


# The log


def test_the_log_is_python_s(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "impact_plugin.elastix")
    short = squares(ImagePyramidSmoothingSchedule=0)
    impact_plugin.register_images(*sitk_pair(), parameter_maps=short, iterations=3)
    levels = {record.getMessage(): record.levelname for record in caplog.records}
    assert levels["InstallingComponents was successful."] == "INFO"
    assert levels["Resolution: 0"] == "INFO"
    rows = [text for text in levels if text.startswith(("0\t", "1\t", "2\t"))]
    assert [levels[row] for row in rows] == ["DEBUG"] * 3
    defaults = [text for text in levels if "does not exist at all" in text]
    assert {levels[text] for text in defaults} == {"DEBUG"}
    errors = [text for text, level in levels.items() if level == "ERROR"]
    assert errors == []
    warnings = [text for text, level in levels.items() if level == "WARNING"]
    assert any("smoothing schedule is not fully" in text for text in warnings), warnings


CALL = """
import impact_plugin, sys
try:
    impact_plugin.register_images("f.mha", "m.mha", parameter_maps=sys.argv[1], iterations=1)
except impact_plugin.RegistrationError as error:
    print(error)
"""
REGISTER = "f.mha", "m.mha", "--iterations", "1", "-o", "o", "-p"


@pytest.mark.parametrize(
    ("command", "warns"),
    [(["-c", CALL], False), (["-m", "impact_plugin.cli", "register", *REGISTER], True)],
)
def test_errors_are_said_once(tmp_path: Path, command: list[str], warns: bool) -> None:
    """Without logging set up, in Python and on the command line; which shows warnings, too."""
    write_pair(tmp_path)
    for resampler, times in (("Nix", 1), ("DefaultResampler", 0)):
        short = {"ImagePyramidSmoothingSchedule": 0}  # of which elastix warns
        (tmp_path / "p.txt").write_text(as_text(squares(Resampler=resampler, **short)))
        run = programs.python(*command, "p.txt", cwd=tmp_path)
        said = run.stdout + run.stderr
        assert said.count("could not be created") == times
        assert "ERROR: error occurred" not in said
    assert ("WARNING: the fixed pyramid" in said) == warns


def test_the_log_comes_as_it_is_written(mind: dict[int, str]) -> None:
    """Not in blocks of 4096 bytes: iterations of a tenth of a second are stopped at the first.

    The metric ends the level when it is told; in a block there are the lines of some fifty.
    """
    result = impact_plugin.register_images(
        *sitk_pair(),
        parameter_maps=with_impact(mind[3], NumberOfSpatialSamples=200_000),
        iterations=LONG,
        callback=lambda _: True,
    )
    assert result.stopped
    assert len(result.history) < 30


def test_bars(capsys: pytest.CaptureFixture[str]) -> None:
    maps = [squares(), squares(NumberOfResolutions=2)]
    impact_plugin.register_images(*sitk_pair(), parameter_maps=maps, iterations=7, progress=True)
    shown = capsys.readouterr().err
    for text in ("map 0, level 1 of 1", "map 1, level 1 of 2", "map 1, level 2 of 2"):
        assert text in shown
    assert "7/7" in shown
    assert "metric " in shown
    # Not where nobody watches.
    impact_plugin.register_images(*sitk_pair(), parameter_maps=maps, iterations=7)
    assert "level" not in capsys.readouterr().err


# Errors


def test_error_of_the_metric(mind: dict[int, str], caplog: pytest.LogCaptureFixture) -> None:
    good, bad = with_impact(mind[3]), with_impact(mind[3], Distance="L7")
    with pytest.raises(
        impact_plugin.RegistrationError,
        match=r'(?s)^The registration failed in stage 2 of 2 \(map 1\): Metric "Impact" cannot '
        r'run:\nDistance \(resolution level 0\): "L7" is not allowed\..*\nelastix\'s log: ',
    ) as caught:
        impact_plugin.register_images(*sitk_pair(), parameter_maps=[good, bad], iterations=2)
    error = caught.value
    assert (error.stage, error.level) == (1, None)
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any(text.startswith("Distance (resolution level 0)") for text in logged)
    assert "Errors occurred" not in error.cause
    assert error.log is not None
    assert "Refused before it began: stage 1" in error.log.read_text()
    error.log.unlink()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.log, again.stage) == (str(error), error.log, 1)


def test_error_at_a_level(tmp_path: Path) -> None:
    """Elastix's own, in the middle of a registration."""
    parameters = squares(NumberOfResolutions=2, RequiredRatioOfValidSamples=1.0) | {
        "MaximumStepLength": ["0.1", "1000"]
    }
    with pytest.raises(
        impact_plugin.RegistrationError,
        match=r"(?s)in stage 1 of 1 \(map 0\), level \d of 2: .*Too many samples map outside",
    ) as caught:
        impact_plugin.register_images(
            *sitk_pair(), parameter_maps=parameters, output_directory=tmp_path
        )
    assert caught.value.level in (0, 1)
    assert caught.value.log == tmp_path / "elastix.log"


def test_error_of_a_component() -> None:
    with pytest.raises(
        impact_plugin.RegistrationError,
        match=r"in stage 1 of 1 \(map 0\): .*The following component could not be created: Nix",
    ) as caught:
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(Resampler="Nix"))
    assert "0x" not in caught.value.cause
    assert caught.value.log is not None
    caught.value.log.unlink()


def test_an_initial_transform_that_elastix_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only logs that, and goes on."""
    fixed, moving = sitk_pair()
    first = to_elastix.translation([1.0, 0.0, 0.0], Geometry.of(fixed)).maps[0]
    unknown = {**first, "Transform": ["NoSuch"]}
    monkeypatch.setattr(components, "check_names", lambda *_: None)
    with pytest.raises(impact_plugin.RegistrationError, match="went on without"):
        impact_plugin.register_images(
            fixed,
            moving,
            parameter_maps=squares(),
            initial_transform=[first, unknown],
            output_directory=tmp_path,
        )
    assert not list(tmp_path.glob("TransformParameters.0.txt"))


def test_a_child_that_is_killed() -> None:
    """As the system kills what takes too much memory."""

    def kill(_: impact_plugin.Iteration) -> None:
        for child in children_of(os.getpid()):
            if b"impact_plugin.registration.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)

    with pytest.raises(
        impact_plugin.RegistrationError,
        match=r"level 1 of 1: elastix was ended by the signal SIGKILL, as the system does",
    ) as caught:
        impact_plugin.register_images(
            *sitk_pair(), parameter_maps=squares(), iterations=LONG, callback=kill
        )
    assert caught.value.log is not None
    caught.value.log.unlink()
