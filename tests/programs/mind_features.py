"""Print checksums of MIND's features, of images and models of several sizes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from impact_plugin import _core, _networks

VOLUMES = ((13, 18, 37), (1, 9, 20), (40, 3, 5), (1, 1, 2), (35, 17, 16))
SLICES = ((1, 21, 70), (1, 1, 33))


def main() -> None:
    """Print a line per case: its name, the checksum, and whether own kernels make it."""
    random = np.random.default_rng(5)
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.pt")):
        dimension = int(path.name[-5])
        network = _networks.Network(str(path))
        for size in VOLUMES if dimension == 3 else VOLUMES[:3] + SLICES:
            pixels = random.normal(0, 100, size).astype(np.float32)
            pixels[: size[0] // 2, :, : size[2] // 3] = 1000.3
            pixels[size[0] // 2 :, : size[1] // 2] *= 1e6
            image = _core.Image(pixels, [0.7, 1.1, 2.3], [0.0, 0.0, 0.0], np.eye(3))
            values = {"ModelsPath": [str(path)], "Dimension": [str(dimension)], "Mode": ["Static"]}
            values["VoxelSize"] = ["0.7*1.1*2.3" if dimension == 3 else "0.7*1.1"]
            levels, findings = _core.parse_settings(values, 1, 3)
            assert not findings, findings
            ((features, _),) = _networks.feature_maps(image, levels[0].fixed_models[0])
            assert np.isfinite(features).all()
            digest = hashlib.sha256(np.asarray(features).tobytes()).hexdigest()
            print(path.name, *size, digest, network.chains_within([True], dimension, 1))


if __name__ == "__main__":
    main()
