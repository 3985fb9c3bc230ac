"""What the plugin says where torch or itk-elastix is not the one it was built for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import host_versions
from helpers.itk_process import ItkError, ItkProcess, opened
from helpers.parameter_maps import parameter_map
from helpers.registrations import impact, pair, translation_error
from impact_plugin import _versions


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages, made of links to the installed ones, in which versions can be faked."""
    own = ("itk", "itk_elastix.libs", "torch", "impact_plugin")
    return host_versions.packages(tmp_path_factory.mktemp("site"), *own)


@pytest.fixture
def process(site: Path, tmp_path: Path) -> Iterator[ItkProcess]:
    with opened(tmp_path, site) as process:
        yield process


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

    needed = (
        f"Needed: {_versions.requirements()[0]} and itk-elastix>=0.25.2,<0.26",
        "Run: python -m pip install",
    )

    # Hidden from the beginning, with its metadata: itk imports torch where it finds that.
    metadata = next(site.glob("torch-*.dist-info"))
    hidden_metadata = metadata.rename(tmp_path / metadata.name)
    (site / "torch").rename(hidden)
    refusal("torch is not installed in ", *needed)
    hidden.rename(site / "torch")
    hidden_metadata.rename(metadata)

    for version in ("0.25.1", "0.26.0"):
        other = elastix.rename(site / f"itk_elastix-{version}.dist-info")
        refusal(f"itk-elastix {version} in ", "(0.25.2 or 0.25.3 or 0.25.4)", *needed)
        other.rename(elastix)
    # Within pip's range, but newer than what is known: pip would take it again.
    other = elastix.rename(site / "itk_elastix-0.25.5.dist-info")
    refusal("itk-elastix 0.25.5 in ", 'Run: python -m pip install "itk-elastix==0.25.4"')
    other.rename(elastix)

    # An upgrade that was interrupted: the metadata of both.
    second = site / "itk_elastix-0.25.1.dist-info"
    second.mkdir()
    refusal("the metadata of itk-elastix 0.25.1 and 0.25.", "mixed", "pip uninstall itk-elastix")
    second.rmdir()

    # What it fits was not built into this wheel.
    folder = site / "impact_plugin" / host_versions.folder_of(host_versions.INSTALLED)
    hidden_folder = folder.rename(tmp_path / folder.name)
    others = [path.name for path in (site / "impact_plugin").glob("elastix-*")]
    if others:
        refusal(" fits, but the plugin in ", f"was built without it. It has: {others[0]}", "Run: ")
    else:
        refusal(f"there is no {folder.name}/host_classes.txt in ", "--force-reinstall")
    hidden_folder.rename(folder)

    built = ", ".join(_versions.built_torches())
    for version in ("2.12.1", "2.14.0+cpu", "2.130.0"):
        version_file.unlink()
        version_file.write_text(
            re.sub(r"(?m)^__version__ = .*", f"__version__ = '{version}'", torch_version)
        )
        refusal(
            f"torch {version} in ", f"is not a version this plugin was built for ({built})", *needed
        )
    version_file.write_text(torch_version)

    # Parts that a broken upgrade has left out, or taken from another version.
    minor = ".".join(map(str, _versions.release(_versions.installed("torch") or "")[:2]))
    for each in _versions.built_torches():
        if each != minor:  # what else CI builds for
            (site / "impact_plugin" / f"torch-{each}").rename(tmp_path / each)
    of_torch = site / "impact_plugin" / f"torch-{minor}"
    other = of_torch.rename(site / "impact_plugin/torch-2.9")
    refusal("torch 2.13", "is not a version this plugin was built for (2.9)", "torch==2.9.*")
    other.rename(tmp_path / "other")
    refusal("torch 2.13", "(none: its folders torch-* are missing)")
    (tmp_path / "other").rename(of_torch)
    for path in (
        site / "impact_plugin" / "libimpact_base.so",
        of_torch / "libimpact_core.so",
        folder / "libimpact_elastix.so",
    ):
        plugin = path.rename(hidden)
        refusal(
            "opening ",
            f"{path.name} failed: ",
            "pip install --force-reinstall --no-deps impact-plugin",
        )
        plugin.rename(path)

    # A process to which all that has happened can still register, with and without the plugin.
    stock = parameter_map(3, Metric="AdvancedMeanSquares")
    assert translation_error(process.register(*images, stock)) < 0.2
    assert translation_error(process.register(*images, parameters)) < 0.2
    assert pids == {process.pid}
