"""Devices by torch's names: ``"cpu"``, ``"cuda"`` (the first GPU), ``"cuda:1"``.

elastix's parameters have numbers for them: that of the GPU, or -1 for the CPU.
"""

from __future__ import annotations

import re

from impact_plugin._deprecated import warn_of_old_name
from impact_plugin._errors import InputError


def number_of(device: str) -> int:
    """Give the number of a device in elastix's parameters.

    Raises:
        InputError: It is neither the CPU nor a CUDA device.

    Example:
        >>> number_of("cuda:1"), number_of("cuda"), number_of("cpu")
        (1, 0, -1)
    """
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", str(device))
    if match is None:
        message = f'device is {device!r}, expected "cpu", "cuda", or "cuda:" and a number'
        raise InputError(message)
    return -1 if match[0] == "cpu" else int(match[1] or 0)


def name_of(number: int) -> str:
    """Give torch's name of the device that has a number in elastix's parameters."""
    return "cpu" if number < 0 else f"cuda:{number}"


def from_argument(device: str | int) -> str:
    """Give the name of a device, which earlier releases called by its number.

    Raises:
        InputError: There is no such kind of device.
    """
    if isinstance(device, int) and not isinstance(device, bool):
        if device < -1:
            message = f'device is {device!r}, expected "cpu", "cuda", or "cuda:" and a number'
            raise InputError(message)
        name = name_of(device)
        warn_of_old_name(f"the device {device}", repr(name))
        return name
    return name_of(number_of(str(device)))


def _registered() -> str | None:
    """Give what torch calls the devices that a program has registered as a backend of its own.

    Where there are such, they and not CUDA's are the GPUs, as in the plugin's C++
    (``runtime/device.h``).
    """
    import torch

    accelerator = torch.accelerator.current_accelerator()
    own: str = torch._C._get_privateuse1_backend_name()
    return own if accelerator is not None and accelerator.type == own else None


def number_of_gpus() -> int:
    """Count the GPUs that torch finds; imports torch."""
    import torch

    return torch.accelerator.device_count() if _registered() else torch.cuda.device_count()


def in_torch(device: str) -> str:
    """Give torch's own name of a device; imports torch.

    Args:
        device: As in this module; a registered backend's GPUs are ``"cuda:0"`` here, too.
    """
    own = _registered()
    return device if own is None or device == "cpu" else f"{own}:{number_of(device)}"


def model_of(gpu: int) -> str | None:
    """Give what its maker calls a GPU; None where torch does not find it. Imports torch."""
    import torch

    if gpu >= number_of_gpus():
        return None
    own = _registered()
    return f"{own}:{gpu}" if own else torch.cuda.get_device_name(gpu)


def check_available(device: str) -> None:
    """Check that there is such a device; imports torch where it is a GPU.

    Raises:
        InputError: torch does not see it.
    """
    gpu = number_of(device)
    if gpu < 0:
        return
    number = number_of_gpus()
    if gpu >= number:
        found = "none" if number == 0 else f"{number}, from cuda:0 to cuda:{number - 1}"
        message = (
            f'device is {device!r}, and of GPUs torch sees {found}. Give device="cpu", or let '
            "`impact-plugin doctor` tell why"
        )
        raise InputError(message)
