"""Settings of the metric drawn at random, of every kind that can be written."""

from __future__ import annotations

import random
from typing import get_args

from impact_plugin.parameters import (
    Distance,
    FeatureNormalization,
    Layer,
    Level,
    Mode,
    Model,
    Network,
    Parameters,
)
from impact_plugin.parameters.values import Value

WORDS = ("a.pt", "my models/b.pt", "x y z/c.ts", "/d/e.jit", "f-1_ü.pth", "net.pt")
NUMBERS = (1.0, 0.1, 1 / 3, 1e-05, 123456.789, 2.5, 0.30000000000000004, 7.0)


def draw_parameters(seed: int) -> Parameters:
    """Draw settings; the same for the same seed."""
    draw = random.Random(seed)
    dimension = draw.choice((2, 3))
    levels = [_level(draw, dimension) for _ in range(draw.randint(1, 4))]
    elastix: dict[str, Value] = {
        "Transform": "BSplineTransform",
        "MaximumNumberOfIterations": [draw.randint(1, 9) for _ in levels],
        "FinalGridSpacingInPhysicalUnits": draw.choice(NUMBERS),
        "UseDirectionCosines": draw.random() < 0.5,
    }
    return Parameters(
        levels, {name: value for name, value in elastix.items() if draw.random() < 0.8}, dimension
    )


def _level(draw: random.Random, image_dimension: int) -> Level:
    mode: Mode = draw.choice(("Static", "Jacobian"))
    device = draw.choice(("cpu", "cpu", "cuda:0", "cuda:1", "cuda:7"))
    # All 2D models of a level have as many numbers of voxel size.
    flat = draw.choice((2, image_dimension))
    models = [_model(draw, mode, image_dimension, flat) for _ in range(draw.randint(1, 3))]
    static = mode == "Static"
    stiff = draw.choice((0, 0, 10, 0.25))
    return Level(
        models=models,
        mode=mode,
        device=device,
        mixed_precision=device != "cpu" and draw.random() < 0.5,
        normalize_losses=draw.random() < 0.5,
        mutual_information_weight=draw.choice((0, 0, 0.3)),
        bending_energy_weight=stiff,
        bending_energy_limit=draw.choice((0, 0.002)) if stiff else 0,
        update_interval=draw.choice((0, 1, 50)) if static else 0,
        feature_maps=draw.choice(("", "true", "some folder/maps", "maps")) if static else "",
    )


def _model(draw: random.Random, mode: str, image_dimension: int, flat: int) -> Model:
    fixed = _extractor(draw, mode, draw.randint(2, image_dimension), flat)
    moving = None
    if draw.random() < 0.3:
        moving = _extractor(draw, mode, fixed.dimension, flat, len(fixed.selected_layers))
    layers = [
        Layer(
            distance=draw.choice(get_args(Distance)),
            weight=draw.choice((0.0, *NUMBERS)),
            pca=draw.choice((0, 3, 64)),
            subset_features=draw.choice((0, 1, 32)),
        )
        for _ in fixed.selected_layers
    ]
    return Model(
        path=fixed.path,
        voxel_size=fixed.voxel_size,
        dimension=fixed.dimension,
        channels=fixed.channels,
        patch_size=fixed.patch_size,
        layers_mask=fixed.layers_mask,
        feature_normalization=fixed.feature_normalization,
        layers=layers,
        moving=moving,
    )


def _extractor(
    draw: random.Random, mode: str, dimension: int, flat: int, selected: int | None = None
) -> Network:
    mask = "".join(draw.choice("01") for _ in range(draw.randint(0, 6))) + "1"
    if selected is not None:
        mask = "0" * draw.randint(0, 2) + "1" * selected
    sizes = dimension if dimension == 3 else flat
    whole = mode == "Static" and draw.random() < 0.5
    return Network(
        path=draw.choice(WORDS),
        voxel_size=[draw.choice(NUMBERS) for _ in range(sizes)],
        dimension=dimension,
        channels=draw.choice((1, 3)),
        patch_size=0 if whole else [draw.randint(1, 99) for _ in range(dimension)],
        layers_mask=mask,
        feature_normalization=draw.choice(("none", *get_args(FeatureNormalization))),
    )
