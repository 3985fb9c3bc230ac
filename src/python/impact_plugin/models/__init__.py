"""Feature extractors: finding out what one is, making one, fetching the public ones.

- :func:`mind` writes MIND, which needs no download;
- :func:`inspect` tells what a model file is, and what it can do before it is run;
- :func:`export` makes a model file of a torch module and the names of its layers;
- :func:`catalogue` lists the public models, :func:`online_catalogue` by what the hub says of them,
  :func:`download` fetches one.

Each gives or takes a TorchScript file that a parameter map can name::

    path = impact_plugin.models.mind(radius=1, dilation=2)   # MIND_R1D2_3D.pt
    # (ModelsPath "<path>")  (Dimension "3")  (NumberOfChannels "1")  (LayersMask "1")

Nothing here loads torch or huggingface_hub before it is needed.
"""

from __future__ import annotations

from impact_plugin.models.archive import ModelFileError
from impact_plugin.models.catalogue import PublicModel, catalogue, find
from impact_plugin.models.downloading import DownloadError, download, online_catalogue
from impact_plugin.models.errors import ExportError
from impact_plugin.models.exporting import export
from impact_plugin.models.inspection import inspect
from impact_plugin.models.mind import mind
from impact_plugin.models.normalization import Normalization
from impact_plugin.models.report import LayerReport, ModelReport
from impact_plugin.models.trial_process import ModelRefusedError, ModelStoppedError

__all__ = [
    "DownloadError",
    "ExportError",
    "LayerReport",
    "ModelFileError",
    "ModelRefusedError",
    "ModelReport",
    "ModelStoppedError",
    "Normalization",
    "PublicModel",
    "catalogue",
    "download",
    "export",
    "find",
    "inspect",
    "mind",
    "online_catalogue",
]
