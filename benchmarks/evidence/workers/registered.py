"""Registers by elastix: by our presets, by maps, or by elastix's own defaults; in our environment.

Reads job.json in the folder that is given, and writes warp.mha: T(x) - x on the fixed image's grid.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk

import impact_plugin
from impact_plugin.parameters import map_files
from impact_plugin.registration import presets


def as_presets(files: Sequence[str]) -> list[str]:
    """Make parameter files presets, so that they are fitted to the images; other names stay."""
    names = []
    for file in files:
        if file not in presets.PRESETS:
            presets.PRESETS[file] = presets.Preset(
                str(Path(file).resolve()), "of the benchmark's user"
            )
        names.append(file)
    return names


def exchanged(fixed: str, moving: str, metric: str, grid: float | None) -> list[dict[str, Any]]:
    """Give our default's maps for two images with another metric and, if given, last grid, mm."""
    found = []
    for name in ("affine_mind", "mind"):
        preset = impact_plugin.preset_map(name, fixed=fixed, moving=moving)
        kept = {key: value for key, value in preset.items() if not _of_impact(key)}
        kept["Metric"] = [metric]
        if grid is not None and "FinalGridSpacingInPhysicalUnits" in kept:
            fitted = float(kept["FinalGridSpacingInPhysicalUnits"][0])
            kept["FinalGridSpacingInPhysicalUnits"] = [str(grid * fitted / 10)]  # 10: the file's
        found.append(kept)
    return found


def _of_impact(name: str) -> bool:
    return name in _OF_IMPACT or name.startswith("Impact")


_OF_IMPACT = {
    *(
        "Mode",
        "GPU",
        "ModelsPath",
        "Dimension",
        "NumberOfChannels",
        "VoxelSize",
        "PatchSize",
        "LayersMask",
    ),
    *("LayersWeight", "SubsetFeatures", "PCA", "Distance", "FeaturesMapUpdateInterval"),
}


def elastix_defaults(metric: str) -> list[dict[str, Any]]:
    """Give elastix's own maps, affine and B-spline, the first metric exchanged.

    Metrics get one thread: elastix's bending energy, in the second map, ends by SIGSEGV with two,
    without our plugin, too.
    """
    import itk

    found = []
    for name in ("affine", "bspline"):
        defaults = dict(itk.ParameterObject.New().GetDefaultParameterMap(name))
        values = {key: list(value) for key, value in defaults.items()}
        values["Metric"][0] = metric
        values["UseMultiThreadingForMetrics"] = ["false"]
        found.append(values)
    return found


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    options: dict[str, Any] = {}
    if job["what"] == "presets":
        options["preset"] = as_presets(job["files"]) or None
    elif job["what"] == "maps":
        options["parameter_maps"] = [map_files.read(Path(file)) for file in job["files"]]
    elif job["what"] == "defaults":
        options["parameter_maps"] = elastix_defaults(job["metric"])
    else:
        maps = exchanged(job["fixed"], job["moving"], job["metric"], job.get("grid"))
        options["parameter_maps"] = maps[:1] if job["what"] == "affine" else maps
    result = impact_plugin.register_images(
        job["fixed"],
        job["moving"],
        threads=job["threads"],
        seed=job["seed"],
        device=job.get("device"),
        iterations=job.get("iterations"),
        progress=False,
        record=False,
        **options,
    )
    field = sitk.Cast(result.displacement_field(), sitk.sitkVectorFloat32)
    sitk.WriteImage(field, str(folder / "warp.mha"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
