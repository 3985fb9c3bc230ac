"""Give every entry point of the package a path that is not UTF-8, and print what each says.

Arguments: a folder with fixed.mha, moving.mha, points.txt, map.txt, pairs.csv, start.tfm and out, a
saved registration; and bad, a folder whose name is not UTF-8, with copies of them. SimpleITK ends
the process where it gets such a path.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import impact_plugin
from impact_plugin import cohort, command_line, evaluation, models
from impact_plugin.check import check_file
from impact_plugin.elastix import process
from impact_plugin.images import conversion
from impact_plugin.parameters import Parameters

GOOD = Path(sys.argv[1])
BAD = GOOD / os.fsdecode(b"b\xfcd")


def started(*_: object, **__: object) -> int:
    message = "elastix was started"
    raise AssertionError(message)


def register(**given: object) -> None:
    images = {"fixed": GOOD / "fixed.mha", "moving": GOOD / "moving.mha"}
    arguments = {**images, "parameter_maps": GOOD / "map.txt", "iterations": 1, **given}
    impact_plugin.register_images(**arguments, progress=False)  # type: ignore[arg-type]


def evaluate(**given: object) -> None:
    impact_plugin.RegistrationResult.load(GOOD / "out").evaluate(**given)  # type: ignore[arg-type]


def register_many(pairs: object = GOOD / "pairs.csv", out: Path = GOOD / "many") -> None:
    cohort.register_cohort(pairs, out, preset="rigid_mind", progress=False)  # type: ignore[arg-type]


def pair(**files: Path) -> list[cohort.Pair]:
    images = {"fixed": GOOD / "fixed.mha", "moving": GOOD / "moving.mha"}
    return [cohort.Pair("one", {name: str(path) for name, path in {**images, **files}.items()})]


def result() -> impact_plugin.RegistrationResult:
    return impact_plugin.RegistrationResult.load(GOOD / "out")


CALLS: dict[str, Callable[[], object]] = {
    "fixed": lambda: register(fixed=BAD / "fixed.mha"),
    "moving": lambda: register(moving=str(BAD / "moving.mha")),
    "DICOM folder": lambda: register(moving=BAD),
    "file of a DICOM folder": lambda: register(moving=GOOD / "dicom"),
    "fixed_mask": lambda: register(fixed_mask=BAD / "fixed.mha"),
    "moving_mask": lambda: register(moving_mask=BAD / "moving.mha"),
    "parameter_maps": lambda: register(parameter_maps=[BAD / "map.txt"]),
    "initial_transform": lambda: register(initial_transform=BAD / "start.tfm"),
    "field of a transform": lambda: register(initial_transform=GOOD / "field.txt"),
    "transform of a transform": lambda: register(initial_transform=BAD / "field.txt"),
    "models": lambda: register(preset="mind", parameter_maps=None, models=BAD),
    "a model": lambda: register(
        preset="mind", parameter_maps=None, models={"MIND_R1D2_2D.pt": BAD / "model.pt"}
    ),
    "model of a map": lambda: register(parameter_maps=GOOD / "model_map.txt"),
    "output_directory": lambda: register(output_directory=BAD / "out"),
    "half a character": lambda: register(fixed="\ud800.mha"),
    "save": lambda: result().save(BAD / "out"),
    "load": lambda: impact_plugin.RegistrationResult.load(BAD / "out"),
    "warp": lambda: result().warp(BAD / "moving.mha"),
    "to_sitk": lambda: conversion.to_sitk(BAD / "moving.mha"),
    "report": lambda: result().report(BAD / "report.html"),
    "report of images": lambda: result().report(GOOD / "x.html", fixed=BAD / "fixed.mha"),
    "report of a folder": lambda: impact_plugin.write_report(BAD / "out"),
    "fixed_points": lambda: evaluate(
        fixed_points=BAD / "points.txt", moving_points=GOOD / "points.txt"
    ),
    "moving_labels": lambda: evaluate(
        fixed_labels=GOOD / "labels.mha", moving_labels=BAD / "labels.mha"
    ),
    "mask": lambda: evaluate(mask=BAD / "labels.mha"),
    "moving_image": lambda: evaluate(moving_image=BAD / "moving.mha"),
    "registration": lambda: evaluation.evaluate(BAD / "out"),
    "file of figures": lambda: evaluation.evaluate(
        GOOD / "out",
        fixed_points=GOOD / "points.txt",
        moving_points=GOOD / "points.txt",
        jacobian=False,
    ).write(BAD / "figures.csv"),
    "points": lambda: evaluation.read_points(BAD / "points.txt"),
    "record": lambda: impact_plugin.rerun(BAD / "out"),
    "image of a record": lambda: impact_plugin.rerun(GOOD / "out", fixed=BAD / "fixed.mha"),
    "folder of a rerun": lambda: impact_plugin.rerun(GOOD / "out", output_directory=BAD / "o"),
    "features": lambda: impact_plugin.view_features(
        BAD / "fixed.mha", GOOD / "model.pt", GOOD / "features"
    ),
    "model of features": lambda: impact_plugin.view_features(
        GOOD / "fixed.mha", BAD / "model.pt", GOOD / "features"
    ),
    "folder of features": lambda: impact_plugin.view_features(
        GOOD / "fixed.mha", GOOD / "model.pt", BAD / "features"
    ),
    "table of pairs": lambda: register_many(BAD / "pairs.csv"),
    "folder of a cohort": lambda: register_many(out=BAD / "many"),
    "file of a pair": lambda: register_many(pair(fixed=BAD / "fixed.mha")),
    "points of a pair": lambda: register_many(
        pair(fixed_points=BAD / "points.txt", moving_points=GOOD / "points.txt")
    ),
    "pairs of patterns": lambda: cohort.match_patterns(GOOD, "sub-*/f.mha", "sub-*/m.mha"),
    "report of a cohort": lambda: impact_plugin.write_cohort_report(BAD),
    "inspected model": lambda: models.inspect(BAD / "model.pt"),
    "model made": lambda: models.mind(path=BAD / "mind.pt"),
    "map checked": lambda: check_file(BAD / "map.txt"),
    "folder like elastix": lambda: command_line.elastix_folder(BAD / "elastix"),
    "map read": lambda: Parameters.read(BAD / "map.txt"),
}


def main() -> None:
    """Call each, and print its name, the kind of exception and the message."""
    process.run = started
    for name, call in CALLS.items():
        try:
            call()
        except ValueError as error:
            print(f"{name}\t{type(error).__name__}\t{error}".replace("\n", " "))
        except BaseException:
            print(f"{name}\tother\t{traceback.format_exc()!r}")
        else:
            print(f"{name}\tnothing\t")
    header = check_file(GOOD / "map.txt", BAD / "fixed.mha", GOOD / "moving.mha")
    print(f"images of a check\tfindings\t{header}".replace("\n", " "))


main()
