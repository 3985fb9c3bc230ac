"""Registers as KonfAI's impact-reg does, with its own engine: ``python konfai_engine.py < JSON``.

The JSON has the paths ``fixed`` and ``moving``, ``maps``, the list of templates, ``models``, fields
of a ``ModelSpec`` by their keys, further ``options`` of the engine, and ``out``, the file for the
field of displacements, shape (3, z, y, x), mm. The texts of the maps that it makes go beside that,
into a ``.json`` file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from impact_reg_konfai.models.elastix_engine import ElastixEngine
from impact_reg_konfai.models.impact_loss import ModelSpec

given = json.load(sys.stdin)
models = {key: ModelSpec(**spec) for key, spec in given["models"].items()}
engine = ElastixEngine(given["maps"], models=models, **given["options"])
fixed, moving = (sitk.ReadImage(given[name], sitk.sitkFloat32) for name in ("fixed", "moving"))
np.save(given["out"], engine.register(fixed, moving, -1))
maps, _ = engine._map_texts(-1, fixed.GetSpacing())  # which it writes for elastix, and removes
Path(given["out"]).with_suffix(".json").write_text(json.dumps([text for _, text in maps]))
