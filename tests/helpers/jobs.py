"""Registrations as jobs of threads and processes, which import this module by its name."""

from __future__ import annotations

import os
from collections.abc import Callable

import impact_plugin
from helpers.pairs import shift_error, sitk_pair, squares
from helpers.parameter_maps import parameter_map
from helpers.registrations import impact

__all__ = ["in_this_process", "register", "shift_error", "with_dask", "with_joblib"]

Result = impact_plugin.RegistrationResult


def register(seed: int, model: str = "") -> Result:
    """Register in whichever thread or process this is."""
    parameters = parameter_map(3, **impact(3, "Static", model)) if model else squares()
    return impact_plugin.register_images(
        *sitk_pair(), parameter_maps=parameters, seed=seed, threads=1, iterations=60
    )


def in_this_process(seed: int) -> tuple[int, Result]:
    return os.getpid(), register(seed)


def with_joblib(work: Callable[[int], tuple[int, Result]]) -> list[tuple[int, Result]]:
    import joblib

    found: list[tuple[int, Result]] = joblib.Parallel(n_jobs=2)(
        joblib.delayed(work)(seed) for seed in range(4)
    )
    return found


def with_dask(scheduler: str) -> list[tuple[int, Result]]:
    import dask

    delayed = [dask.delayed(in_this_process)(seed) for seed in range(4)]
    return list(dask.compute(*delayed, scheduler=scheduler, num_workers=2))
