"""Names of the last release work, with a warning that names today's."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import impact_plugin
from impact_plugin import _devices
from impact_plugin._deprecated import renamed_arguments
from impact_plugin.check import LevelMemory
from impact_plugin.parameters import Level, Model, Parameters


def level(**values: object) -> Level:
    return Level(models=Model(path="m.pt", voxel_size=3.0), **values)  # type: ignore[arg-type]


def test_load_plugin() -> None:
    with pytest.warns(DeprecationWarning, match=r"impact_plugin\.register .* impact_plugin\.load"):
        assert impact_plugin.register is impact_plugin.load_plugin


def test_the_device_of_a_level() -> None:
    with pytest.warns(DeprecationWarning, match="argument gpu is now called device"):
        made = level(gpu=1)
    assert made == level(device="cuda:1")
    with pytest.warns(DeprecationWarning, match=r"Level\.device"):
        assert made.gpu == 1
    parameters = Parameters(made)
    with pytest.warns(DeprecationWarning, match="the device -1 is now called 'cpu'"):
        assert parameters.on(-1) == parameters.on("cpu")  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match="argument gpu is now called device"):
        assert parameters.on(gpu=-1) == parameters.on("cpu")  # type: ignore[call-arg]
    assert parameters.on("cuda").resolution_levels[0].device == "cuda:0"


def test_the_device_of_memory() -> None:
    memory = LevelMemory(0, "Static", "cuda:2", 5)
    with pytest.warns(DeprecationWarning, match=r"LevelMemory\.device"):
        assert memory.gpu == 2
    assert memory.to_dict()["gpu"] == 2


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "", -2, True, 1.5])
def test_what_is_no_device(device: object) -> None:
    with pytest.raises(impact_plugin.InputError, match=r'device is .*, expected "cpu", "cuda"'):
        level(device=device)


@pytest.mark.parametrize(("number", "name"), [(-1, "cpu"), (0, "cuda:0"), (11, "cuda:11")])
def test_numbers_of_devices(number: int, name: str) -> None:
    assert _devices.name_of(number) == name
    assert _devices.number_of(name) == number


def test_arguments() -> None:
    @renamed_arguments(old="new")
    def function(new: int, *, other: int = 0) -> tuple[int, int]:
        return new, other

    assert function(1, other=2) == function(new=1, other=2) == (1, 2)
    with pytest.warns(DeprecationWarning, match="the argument old is now called new") as said:
        assert function(old=1) == (1, 0)  # type: ignore[call-arg]
    assert said[0].filename == __file__
    with pytest.raises(TypeError, match="old and new are the same argument: give new alone"):
        function(1, old=1, new=2)  # type: ignore[call-arg, misc]


def test_features_where_they_went_before(tmp_path: Path) -> None:
    """Both arguments by their former names reach the check of the device."""
    with (
        pytest.warns(DeprecationWarning, match="is now called"),
        pytest.raises(ValueError, match=r"device is 'cuda:99', and of GPUs torch sees"),
    ):
        impact_plugin.view_features("i.mha", "m.pt", out=tmp_path, gpu=99)  # type: ignore[call-arg]


def test_all_errors_are_in_one_place_and_have_one_base() -> None:
    names = [name for name in impact_plugin.__all__ if name.endswith("Error")]
    assert len(names) > 15
    for name in names:
        error = getattr(impact_plugin, name)
        assert inspect.isclass(error)
        assert issubclass(error, impact_plugin.ImpactError)


def test_no_error_is_missing_there() -> None:
    exported = {getattr(impact_plugin, name) for name in impact_plugin.__all__}

    def below(kind: type[BaseException]) -> list[type[BaseException]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in below(sub))]

    hidden = [each for each in below(impact_plugin.ImpactError) if each not in exported]
    assert hidden == []
