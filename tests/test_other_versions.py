"""What the plugin says where torch or itk-elastix is not the one it was built for."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.itk_process import ItkError, ItkProcess
from helpers.parameter_maps import parameter_map
from helpers.registrations import impact, pair, translation_error


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages, made of links to the installed ones, in which versions can be faked."""
    folder = tmp_path_factory.mktemp("site")
    installed = Path(sysconfig.get_path("platlib"))
    # Folders in which something changes, and those on whose own path the linker's search rests.
    ours = [f"impact_plugin/{path.name}" for path in (installed / "impact_plugin").glob("torch-*")]
    own = {"itk", "itk_elastix.libs", "torch", "impact_plugin", *ours}
    for parent in ("", *own):
        (folder / parent).mkdir(parents=True, exist_ok=True)
        for entry in (installed / parent).iterdir():
            if str(entry.relative_to(installed)) not in own:
                (folder / parent / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def process(site: Path, tmp_path: Path) -> Iterator[ItkProcess]:
    process = ItkProcess(tmp_path, site)
    yield process
    assert process.close() in (0, None), process.stderr()


def test_other_versions_than_built_for(
    layers: dict[int, str], site: Path, process: ItkProcess, tmp_path: Path
) -> None:
    """All in one process, which at the end has the right ones and registers."""
    elastix = next(site.glob("itk_elastix-*.dist-info"))
    version_file = site / "torch/version.py"
    torch_version = version_file.read_text()
    hidden = tmp_path / "hidden"
    images = pair(3)
    parameters = parameter_map(3, **impact(3, "Jacobian", layers[3], LayersMask="010"))
    pids = set()

    def refusal(*texts: str) -> None:
        beginning = r'^RuntimeError: \s*Metric "Impact" cannot be loaded: '
        with pytest.raises(ItkError, match=beginning) as error:
            process.register(*images, parameters)
        for text in texts:
            assert text in error.value.text
        assert error.value.text.strip() in error.value.log
        assert "1:ItNr" not in error.value.log
        pids.add(process.pid)

    needed = ("Needed: torch==2.13.* and itk-elastix>=0.25.2,<0.25.4", "Run: python -m pip install")
    built_for = "is not the version this plugin was built for ("

    # Hidden from the beginning, with its metadata: itk imports torch where it finds that.
    metadata = next(site.glob("torch-*.dist-info"))
    hidden_metadata = metadata.rename(tmp_path / metadata.name)
    (site / "torch").rename(hidden)
    refusal("torch is not installed in ", *needed)
    hidden.rename(site / "torch")
    hidden_metadata.rename(metadata)

    other = elastix.rename(site / "itk_elastix-0.25.4.dist-info")
    refusal("itk-elastix 0.25.4 in ", built_for + "0.25.", *needed)
    other.rename(elastix)

    for version in ("2.12.1", "2.14.0+cpu", "2.130.0"):
        version_file.unlink()
        version_file.write_text(
            re.sub(r"(?m)^__version__ = .*", f"__version__ = '{version}'", torch_version)
        )
        refusal(
            f"torch {version} in ", "is not a version this plugin was built for (2.13)", *needed
        )
    version_file.write_text(torch_version)

    # Parts that a broken upgrade has left out, or taken from another version.
    of_torch = next((site / "impact_plugin").glob("torch-*"))
    other = of_torch.rename(site / "impact_plugin/torch-2.9")
    refusal("torch 2.13", "is not a version this plugin was built for (2.9)", "torch==2.9.*")
    other.rename(tmp_path / "other")
    refusal("torch 2.13", "(none: its folders torch-* are missing)")
    (tmp_path / "other").rename(of_torch)
    for library in (
        "libimpact_base.so",
        f"{of_torch.name}/libimpact_core.so",
        "libimpact_elastix.so",
    ):
        path = site / "impact_plugin" / library
        plugin = path.rename(hidden)
        refusal(
            "opening ",
            f"impact_plugin/{library} failed: ",
            "pip install --force-reinstall --no-deps impact-plugin",
        )
        plugin.rename(path)

    # A process to which all that has happened can still register, with and without the plugin.
    stock = parameter_map(3, Metric="AdvancedMeanSquares")
    assert translation_error(process.register(*images, stock)) < 0.2
    assert translation_error(process.register(*images, parameters)) < 0.2
    assert pids == {process.pid}
