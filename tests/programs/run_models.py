"""Open model files of three layers and run each: a line of what became of it."""

from __future__ import annotations

import sys

from impact_plugin import _core, _networks

for file in sys.argv[1:]:
    print(file, file=sys.stderr, flush=True)
    try:
        layers = _networks.Network(file).layer_shapes([9, 8, 7], 1, 3, (0.0, 300.0))
    except _core.Error:
        print("refused", flush=True)
    else:
        print(f"gave {len(layers)} layers", flush=True)
