"""MIND-SSC: its values against plain numpy, and what a registration relies on."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helpers import programs
from impact_plugin import _core, _mind, _networks, models
from impact_plugin.models import resolve
from impact_plugin.models.mind import is_of_this_version

ROOT = Path(__file__).resolve().parent.parent
# TorchScript works on, though torch says at each load that its successor is torch.export.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning"
)

Model = Callable[[torch.Tensor], list[torch.Tensor]]
CASES = [((9, 13), 1, 2), ((12, 7), 2, 1), ((6, 8, 11), 1, 2), ((7, 5, 6), 2, 3)]


def load_file(path: Path, device: str = "cpu") -> Model:
    model: Model = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    return model


def load(folder: Path, radius: int, dilation: int, dimension: int) -> Model:
    return load_file(models.mind(radius, dilation, dimension, path=folder))


def random_image(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return (torch.randn((1, 1, *shape), generator=generator, dtype=torch.float64) * 80).to(dtype)


def reference(image: NDArray[np.float64], radius: int, dilation: int) -> NDArray[np.float64]:
    """MIND-SSC by its definition, one voxel offset at a time, with indices clamped to the image."""

    def shifted(offset: tuple[int, ...]) -> NDArray[np.float64]:
        indices = [
            np.clip(np.arange(size) + step, 0, size - 1)
            for size, step in zip(image.shape, offset, strict=True)
        ]
        return image[np.ix_(*indices)]

    neighbours = [
        tuple(sign * dilation * (axis == other) for other in range(image.ndim))
        for axis in range(image.ndim)
        for sign in (-1, 1)
    ]
    # Neighbours side by side: the distance of opposite ones is twice the dilation.
    pairs = [
        (p, q)
        for p, q in itertools.combinations(neighbours, 2)
        if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) == 2 * dilation**2
    ]
    pairs.sort(key=lambda pair: [np.flatnonzero(p).tolist() for p in pair])  # by axes, then signs
    patch = list(itertools.product(range(-radius, radius + 1), repeat=image.ndim))

    distances = np.zeros((len(pairs), *image.shape))
    energy = np.zeros(image.shape)
    for offset in patch:
        energy += shifted(offset) ** 2
        for k, (p, q) in enumerate(pairs):
            one = shifted(tuple(a + b for a, b in zip(offset, p, strict=True)))
            two = shifted(tuple(a + b for a, b in zip(offset, q, strict=True)))
            distances[k] += (one - two) ** 2
    distances /= len(patch)
    floor = (32 * 2.0**-23) ** 2 * energy / len(patch) + 1e-3 * distances.mean(axis=0)
    distances -= distances.min(axis=0)
    variance = np.maximum(distances.mean(axis=0), floor)
    mind: NDArray[np.float64] = np.exp(-distances / variance)
    return mind


@pytest.mark.parametrize(("shape", "radius", "dilation"), CASES)
def test_values_are_those_of_the_definition(
    tmp_path: Path, shape: tuple[int, ...], radius: int, dilation: int
) -> None:
    image = random_image(shape)
    (features,) = load(tmp_path, radius, dilation, len(shape))(image)
    assert features.shape == (1, {2: 4, 3: 12}[len(shape)], *shape)
    expected = reference(image[0, 0].numpy(), radius, dilation)
    # Both in double precision; sums in another order.
    np.testing.assert_allclose(features[0].numpy(), expected, rtol=1e-10, atol=1e-14)


def test_every_voxel_has_a_channel_of_one(tmp_path: Path) -> None:
    (features,) = load(tmp_path, 1, 2, 3)(random_image((6, 8, 11)))
    assert torch.all(features.amax(1) == 1)
    assert torch.all((features >= 0) & (features <= 1))


def test_single_precision_is_close_to_double(tmp_path: Path) -> None:
    model, image = load(tmp_path, 1, 2, 3), random_image((6, 8, 11))
    (features,) = model(image.float())
    assert features.dtype == torch.float32
    # Differences of intensities around 100 keep some six digits.
    torch.testing.assert_close(features.double(), model(image)[0], rtol=0, atol=1e-5)


def test_half_precision_does_not_overflow(tmp_path: Path) -> None:
    model, image = load(tmp_path, 1, 2, 3), random_image((6, 8, 11)) * 10
    (features,) = model(image.half())
    assert features.dtype == torch.float16
    # The intensities themselves are rounded to eleven bits.
    torch.testing.assert_close(features.double(), model(image)[0], rtol=0, atol=2e-2)


def test_scaling_the_intensities_changes_nothing(tmp_path: Path) -> None:
    model, image = load(tmp_path, 1, 2, 3), random_image((6, 8, 11))
    torch.testing.assert_close(model(image * 3e-7)[0], model(image)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)])
def test_gradient_is_the_derivative(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = load(tmp_path, 1, 1, len(shape))
    image = random_image(shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x)[0], image, eps=1e-4)


@pytest.mark.parametrize("value", [0.0, 1000.3, -1024.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_image_is_one_everywhere(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    image = torch.full((1, 1, 5, 6, 7), value, dtype=dtype, requires_grad=True)
    model = load(tmp_path, 1, 2, 3)
    for _ in range(4):  # TorchScript optimises the derivative after the first calls
        (features,) = model(image)
        assert torch.all(features == 1)
        (gradient,) = torch.autograd.grad(features.square().sum(), image)
        assert torch.all(gradient == 0)


def test_gradient_is_finite_where_distances_tie(tmp_path: Path) -> None:
    """Small whole numbers on a background of zeros: many distances are equal, some all of them."""
    image = torch.zeros((1, 1, 24, 24))
    image[..., 6:18, 6:18] = torch.randint(
        0, 3, (12, 12), generator=torch.Generator().manual_seed(2)
    ).float()
    image.requires_grad_()
    model = load(tmp_path, 1, 2, 2)
    for _ in range(4):
        (features,) = model(image)
        weights = torch.linspace(-1, 1, features.numel()).reshape(features.shape)
        (gradient,) = torch.autograd.grad((features * weights).sum(), image)
        assert torch.all(gradient.abs() < 1e4)


def test_rounding_errors_count_as_constant(tmp_path: Path) -> None:
    noise = torch.randint(-2, 3, (1, 1, 9, 9, 9), generator=torch.Generator().manual_seed(1))
    image = 1000.0 + noise * 2.0**-14  # 2^-14 is the spacing of float32 numbers at 1000
    (features,) = load(tmp_path, 1, 2, 3)(image)
    assert features.min() > 0.9


def test_patches_of_a_batch_do_not_affect_each_other(tmp_path: Path) -> None:
    model = load(tmp_path, 1, 2, 3)
    scales = torch.tensor([1e-3, 1.0, 1e4, 0.0]).reshape(4, 1, 1, 1, 1)
    batch = random_image((7, 7, 7), torch.float32) * scales
    (together,) = model(batch)
    for index in range(len(batch)):
        assert torch.equal(model(batch[index : index + 1])[0][0], together[index])


def test_patch_and_whole_image_agree_to_the_bit(tmp_path: Path) -> None:
    model, reach = load(tmp_path, 1, 2, 3), 3
    image = random_image((12, 10, 11), torch.float32)
    (whole,) = model(image)
    extended = torch.nn.functional.pad(image, [reach] * 6, mode="replicate")
    side = 2 * reach + 1
    for z, y, x in [(0, 0, 0), (5, 4, 6), (11, 0, 10)]:
        (patch,) = model(extended[:, :, z : z + side, y : y + side, x : x + side])
        assert torch.equal(patch[0, :, reach, reach, reach], whole[0, :, z, y, x])


def test_number_of_threads_does_not_change_a_bit(tmp_path: Path) -> None:
    model, image = load(tmp_path, 1, 2, 3), random_image((33, 47, 41), torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(model(image)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(tmp_path: Path) -> None:
    path, image = models.mind(path=tmp_path), random_image((6, 8, 11), torch.float32)
    on_gpu = load_file(path, "cuda")(image.cuda())[0]
    on_cpu = load_file(path)(image)[0]
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-5)


@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_own_kernels_give_the_bits_of_the_file(tmp_path: Path, processor: str) -> None:
    """On each kind of processor: images of one slice, constant parts, 2D models slice by slice."""
    for dimension in (2, 3):
        for radius, dilation in ((1, 2), (2, 1), (3, 4)):
            models.mind(radius, dilation, dimension, path=tmp_path)

    def run(environment: dict[str, str]) -> list[str]:
        done = programs.python(
            ROOT / "tests" / "programs" / "mind_features.py", tmp_path, environment=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    by_torch = run({"IMPACT_CHAINS": "off"})
    by_kernels = run({"IMPACT_PROCESSOR": processor})
    assert [line.split()[-1] for line in by_torch] == ["0"] * 30
    assert [line.split()[-1] for line in by_kernels] == ["1"] * 30
    assert [line.split()[:-1] for line in by_kernels] == [line.split()[:-1] for line in by_torch]
    assert len({line.split()[-2] for line in by_torch}) >= 25  # checksums; of one voxel all are 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* 1e-3", "* 1.0"),
        ("pad(image, margin", "pad(image.clamp(-1000.0, 1000.0), margin"),
        ("rounding + level + 1e-18", "rounding + level + 100.0"),
        ("x: Tensor) -> list[Tensor]:", "x: Tensor, nb_layers: Tensor) -> list[Tensor]:"),
        ("", ""),
    ],
)
def test_files_that_say_they_are_mind(tmp_path: Path, old: str, new: str) -> None:
    """They are run as they are, unless they give the bits of ours, whatever the intensities."""
    code = tmp_path / "changed.py"
    source = Path(str(_mind.__file__)).read_text()
    assert not old or source.count(old) == 1
    code.write_text(source.replace(old, new) if old else source)
    spec = importlib.util.spec_from_file_location("changed", code)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path / "MIND_R1D2_3D.pt"
    torch.jit.save(torch.jit.script(module.MindSSC(1, 2, 3).eval()), str(path))
    network = _networks.Network(str(path))
    assert network.chains_within([True], 3, 1) == (not old)
    assert network.chains_within([True, True], 3, 1) == 0


def test_a_mask_of_more_layers_than_one_is_refused(tmp_path: Path) -> None:
    image = _core.Image(np.ones((9, 10, 11), np.float32), [1.0] * 3, [0.0] * 3, np.eye(3))
    values = {"ModelsPath": [str(models.mind(path=tmp_path))], "LayersMask": ["11"]}
    values |= {"VoxelSize": ["1*1*1"], "Mode": ["Static"]}
    levels, findings = _core.parse_settings(values, 1, 3)
    assert not findings
    with pytest.raises(_core.Error, match="LayersMask: it has 2 entries, but model file"):
        _networks.feature_maps(image, levels[0].fixed_models[0])


def test_an_earlier_version_in_the_cache_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the caller has, or has another name, stays as it is."""
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path / "cache"))
    names = ("MIND_R1D2_3D.pt", "mine.pt")
    old = torch.jit.script(_mind.MindSSC(1, 2, 3).eval())
    for folder in (tmp_path / "cache" / "models", tmp_path / "own"):
        folder.mkdir(parents=True)
        for name in names:
            torch.jit.save(old, str(folder / name))

    def found(models_given: Path | None, name: str) -> Path:
        (value,) = resolve.resolve({"ModelsPath": [name]}, models_given, "map", tmp_path)[
            "ModelsPath"
        ]
        return Path(value)

    for name in names:
        own = found(tmp_path / "own", name)
        assert own == tmp_path / "own" / name
        assert not is_of_this_version(own)
        cached = found(None, name)
        assert cached == tmp_path / "cache" / "models" / name
        assert is_of_this_version(cached) == (name != "mine.pt")
    before = found(None, names[0]).stat().st_mtime_ns
    assert found(None, names[0]).stat().st_mtime_ns == before

    def cannot_write(*_: int) -> Path:
        raise PermissionError

    # In a cache that others share and only read, the earlier version is as good as it was.
    monkeypatch.setattr(resolve, "mind", cannot_write)
    cached = found(None, names[0])
    torch.jit.save(old, str(cached))
    assert found(None, names[0]) == cached
    cached.unlink()
    with pytest.raises(PermissionError):
        found(None, names[0])


def test_default_path_is_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("IMPACT_CACHE_DIR", raising=False)
    path = models.mind(2, 3, dimension=2)
    assert path == tmp_path / "impact-plugin" / "models" / "MIND_R2D3_2D.pt"
    assert path.is_file()
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path / "own"))
    path = models.mind(2, 3, dimension=2)
    assert path == tmp_path / "own" / "models" / "MIND_R2D3_2D.pt"
    assert path.is_file()


def test_file_replaces_another_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.pt"
    path.parent.mkdir()
    path.write_text("something old")
    assert models.mind(path=path) == path
    assert load_file(path)(random_image((4, 4, 4)))[0].shape[1] == 12
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask  # as any other file of the user


def test_loaded_model_says_how_to_call_it(tmp_path: Path) -> None:
    model: Any = load_file(models.mind(path=tmp_path))
    assert str(model.forward.schema).endswith("Tensor x) -> Tensor[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": 0}, r"radius is 0, expected a whole number of at least 1 .*\(in voxels\)"),
        ({"dilation": -1}, "dilation is -1, expected a whole number of at least 1"),
        ({"dimension": 4}, "dimension is 4, expected 2 or 3"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.mind(**arguments, path=tmp_path)


def test_fractions_are_no_voxels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"radius is 1\.5, expected a whole number"):
        models.mind(radius=1.5, path=tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 2, 8, 8, 8), "wrong number of channels"), ((1, 1, 8, 8), "wrong number of dimensions")],
)
def test_wrong_input(tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(torch.jit.Error, match=message):
        load(tmp_path, 1, 2, 3)(torch.zeros(shape))
