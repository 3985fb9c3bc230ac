"""Examines an installation, and says how to repair it, for ``impact-plugin doctor``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from impact_plugin import _plugin, _versions

_DISTRIBUTIONS = (
    "impact-plugin",
    "torch",
    "itk-elastix",
    "itk-core",
    "SimpleITK",
    "numpy",
    "nibabel",
    "monai",
    "torchio",
)
_TORCH = """
import json, torch
from impact_plugin import _devices
gpus = [_devices.model_of(number) for number in range(_devices.number_of_gpus())]
print(json.dumps({"cuda": torch.version.cuda, "gpus": gpus, "threads": torch.get_num_threads()}))
"""
# Asks libImpactMetric.so for the comparison that it makes when elastix opens it.
_GUARD = """
import ctypes, json, os, sys
fits = ctypes.c_int()
examine = ctypes.CDLL(sys.argv[1]).ImpactMetricExamine
examine.restype = ctypes.c_char_p
found = examine(os.fsencode(sys.argv[2]), ctypes.byref(fits)).decode()
print(json.dumps([bool(fits.value), found]), flush=True)
os._exit(0)
"""


@dataclass
class Report:
    """What was found.

    Args:
        facts: Facts by name, in the order in which they are shown.
        problems: Problems, each with what to do about it.
    """

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON-compatible values."""
        return asdict(self)


def examine(quick: bool = False) -> Report:
    """Examine this installation.

    Args:
        quick: Whether to skip what takes seconds: starting torch and a small registration.
    """
    report = Report()
    facts = report.facts
    facts["Python"] = f"{platform.python_version()}, {sys.executable}"
    facts["system"] = f"{platform.platform()}, {os.cpu_count()} processors"
    for name in _DISTRIBUTIONS:
        facts[name] = _versions.installed(name) or "not installed"
    built = map(str, _versions.built_hosts())
    facts["built for"] = ", ".join(built) or "no elastix: nothing is compiled here"
    try:
        _versions.check()
    except _versions.VersionMismatchError as error:
        report.problems.append(str(error))
    _examine_plugin(report)
    facts["GPU driver"] = _driver()
    if not quick:
        _examine_torch(report)
        if not report.problems:
            _register(report)
    return report


def _examine_plugin(report: Report) -> None:
    try:
        path = _plugin.find_library()
        where = _plugin._where_elastix_looks()
        report.facts["plugin"] = str(path)
        if path not in where:
            report.problems.append(
                "elastix does not look for the plugin where it lies. Before itk's elastix is used, "
                "call impact_plugin.load_plugin(); the command line and register_images need "
                "nothing."
            )
        _examine_host(report, path)
    except FileNotFoundError as error:
        report.facts["plugin"] = "missing"
        report.problems.append(str(error))
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastix", "--extended-version"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        report.facts["elastix"] = "cannot be loaded"
        if not report.problems:  # else it is known why
            report.problems.append((run.stderr or run.stdout).strip())
        return
    for line in run.stdout.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "elastix version":
            report.facts["elastix"] = value.strip()
        elif name.strip() == "ITK version":
            report.facts["ITK headers"] = value.strip()


def _examine_host(report: Report, plugin: Path) -> None:
    """Ask the plugin, in a process of its own, whether it fits the installed elastix."""
    try:
        elastix = importlib.metadata.distribution("itk-elastix")
    except importlib.metadata.PackageNotFoundError:
        return  # a problem already
    host = str(elastix.locate_file("itk/_ElastixPython.abi3.so"))
    run = subprocess.run(
        [sys.executable, "-c", _GUARD, str(plugin), host],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        reason = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        fits, found = False, f"The plugin {plugin} cannot be opened: {reason[0]}"
    else:
        fits, found = json.loads(run.stdout)
    report.facts["ABI guard"] = found if fits else "refuses to load the plugin"
    if not fits and not report.problems:  # else it is known why
        report.problems.append(found)


def _driver() -> str:
    """Say which GPUs the driver sees, and its version."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none (there is no nvidia-smi)"
    query = ["--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    try:
        run = subprocess.run(
            [program, *query], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi fails: {error}"
    lines = "; ".join(run.stdout.strip().splitlines())
    return lines if run.returncode == 0 else f"nvidia-smi fails: {lines or run.stderr.strip()}"


def _examine_torch(report: Report) -> None:
    """Start torch in a process of its own, since a broken one crashes."""
    run = subprocess.run(
        [sys.executable, "-c", _TORCH], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        report.facts["torch's GPUs"] = "unknown"
        reason = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        if not report.problems:
            report.problems.append(
                f"torch cannot be imported: {reason[0]}. Install it again: "
                f'{sys.executable} -m pip install --force-reinstall "{_versions.requirements()[0]}"'
            )
        return
    found = json.loads(run.stdout.splitlines()[-1])
    cuda = f"built for CUDA {found['cuda']}" if found["cuda"] else "built for the CPU alone"
    report.facts["torch's GPUs"] = f"{', '.join(found['gpus']) or 'none'} ({cuda})"
    report.facts["torch's threads"] = str(found["threads"])
    if "nvidia-smi" not in report.facts["GPU driver"] and not found["gpus"]:
        remedy = (
            "the driver may be too old for that"
            if found["cuda"]
            else "install a build for CUDA, see https://pytorch.org"
        )
        report.problems.append(
            f"The driver has a GPU that torch does not see. torch is {cuda}: {remedy}."
        )


def _register(report: Report) -> None:
    """Register two small images with the metric, which tests everything together."""
    import numpy as np

    from impact_plugin.elastix.errors import RegistrationError
    from impact_plugin.images.array import ImageArray
    from impact_plugin.registration.api import register_images

    shift = np.array([2.0, -1.0, 1.5])  # mm, (x, y, z)
    z, y, x = np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij")

    def blobs(by: np.ndarray[Any, np.dtype[np.float64]]) -> ImageArray:
        centres = [(8, 9, 10), (16, 14, 9), (10, 16, 16), (15, 7, 15)]
        return ImageArray(
            sum(
                np.exp(-((x - a - by[0]) ** 2 + (y - b - by[1]) ** 2 + (z - c - by[2]) ** 2) / 12)
                for a, b, c in centres
            )
        )

    start = time.perf_counter()
    try:
        result = register_images(
            blobs(np.zeros(3)), blobs(shift), preset="rigid_mind", iterations=60, progress=False
        )
    except (RegistrationError, OSError, ValueError, ImportError, RuntimeError) as error:
        report.facts["test registration"] = "failed"
        report.problems.append(str(error))
        return
    centre = np.full((1, 3), 12.0)
    error_mm = float(np.linalg.norm(result.map_points(centre) - centre - shift))
    seconds = time.perf_counter() - start
    report.facts["test registration"] = f"off by {error_mm:.2f} mm, {seconds:.1f} s"
    if error_mm > 0.5:
        report.problems.append(
            f"A test registration of two small images ends {error_mm:.2f} mm off, expected at most "
            "0.5 mm. Please report this with all of the above."
        )
