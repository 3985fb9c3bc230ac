"""On what a registration ran: versions, the processor, the variables that matter."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

from impact_plugin import _devices, _versions
from impact_plugin.folders.record import Machine
from impact_plugin.models.files import sha256

_DISTRIBUTIONS = ("impact-plugin", "torch", "itk-elastix", "itk-core", "SimpleITK", "numpy")

# Of the variables of a process, those that change how many threads compute, on what, and how.
_VARIABLES = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|ATEN|DNNL|ONEDNN|IMPACT|ITK|CUDA|CUBLAS|PYTORCH|TORCH)_\w+"
    r"|NVIDIA_TF32_OVERRIDE"
)

# Of processors: our kernels, oneDNN and torch choose their code by these.
_VECTORS = re.compile(r"avx\w*|fma|f16c|amx\w*|asimd\w*|sve\w*")


def versions(log: str) -> dict[str, str | None]:
    """Give the versions of all that computes; None of what is not there.

    Args:
        log: elastix's own, which says what it is.
    """
    return {
        "python": platform.python_version(),
        **{name: _versions.installed(name) for name in _DISTRIBUTIONS},
        "elastix": _said(r"elastix version: (\S+)", log),
        "ITK headers": _said(r"ITK version: (\S+)", log),
        "glibc": platform.libc_ver()[1] or None,
    }


def _said(pattern: str, log: str) -> str | None:
    found = re.search(pattern, log)
    return found[1] if found else None


def describe(devices: Iterable[str] = ()) -> Machine:
    """Describe this machine, and the plugin's binary, which has no version of its own.

    Args:
        devices: Those of which the GPUs are named, such as ``cuda:0``.
    """
    model, instructions = processor()
    return Machine(
        system=platform.platform(),
        processor=model,
        instructions=list(instructions),
        processors=os.cpu_count(),
        plugin_sha256=_sha256_of(_versions.libraries()),
        variables={
            name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)
        },
        gpus={device: gpu_name(device) for device in sorted({*devices} - {"cpu"})},
    )


@functools.cache
def _sha256_of(paths: tuple[Path, ...]) -> str | None:
    """Give the checksum of several files, one after the other; None where one is missing."""
    if not paths or not all(path.is_file() for path in paths):
        return None
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()


@functools.cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Name the processor's model, and which of the instructions it has that networks run on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    flags = _said(r"(?m)^(?:flags|Features)\s*: (.*)$", text) or ""
    model = _said(r"(?m)^model name\s*: (.*?)\s*$", text) or platform.machine()
    return model, tuple(sorted(flag for flag in flags.split() if _VECTORS.fullmatch(flag)))


def gpu_name(device: str) -> str | None:
    """Name the GPU that torch calls for example ``cuda:0``; None where torch does not see it."""
    return _devices.model_of(_devices.number_of(device))
