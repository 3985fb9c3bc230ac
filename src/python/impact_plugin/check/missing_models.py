"""What to do about a model file that is not where a map says."""

from __future__ import annotations

from pathlib import Path

from impact_plugin.models import resolve
from impact_plugin.models.catalogue import UnknownModelError, find
from impact_plugin.models.mind import FILE_NAME as MIND


def remedy_of(name: str) -> str | None:
    """Say where a missing model lies or comes from.

    Args:
        name: The model's path, which the metric cannot read.

    Returns:
        What to do; None where the file is there, or is none of the public models.
    """
    if Path(name).exists():
        return None

    if known := resolve.known_place(name):
        return (
            f'Give the path "{known}", where it lies. elastix looks in the current folder alone; '
            "impact_plugin.register_images() and `impact-plugin register` look there, too."
        )
    if mind := MIND.fullmatch(Path(name).name):
        radius, dilation, dimension = mind.groups()
        options = f"--radius {radius} --dilation {dilation} --dimension {dimension}"
        return f"Run `impact-plugin models mind {options} -o {name}`, which writes it."
    try:
        model = find(name)
    except UnknownModelError:
        return None
    folder = name.removesuffix(model.file)
    if folder != name:
        return (
            f"Run `impact-plugin models download {model.name} --folder {folder or '.'}`, which "
            "puts it there."
        )
    return (
        f"Run `impact-plugin models download {model.name}`, and give the path that it prints, "
        "absolute or relative to the current folder."
    )
