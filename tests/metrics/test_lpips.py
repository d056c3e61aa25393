"""Perceptual distances against numpy's networks, through files of weights in published formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import paddle
import pytest
from published import (
    VGG_INDICES,
    VGG_LAYERS,
    blur_down,
    conv2d,
    convolution,
    lpips,
    max_pool,
    windows,
    write_pth,
)

from pygan.cli import main
from pygan.errors import InputError
from pygan.metrics.extractors import find_extractor, find_perceptual, installed
from pygan.metrics.extractors import lpips as distances
from pygan.metrics.extractors.catalogue import CATALOGUE
from pygan.metrics.extractors.layers import Linear
from pygan.metrics.extractors.vgg16 import VGG16

Convs = list[tuple[np.ndarray, np.ndarray]]
SHIFT, SCALE = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
VGG_WIDTHS = (64, 128, 256, 512, 512)
ALEX_SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
ALEX_WIDTHS = (64, 192, 384, 256, 256)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def vgg(x: np.ndarray, convs: Convs, shift_tolerant: bool = False) -> list[np.ndarray]:
    taps: list[np.ndarray] = []
    remaining = iter(convs)
    for layers in VGG_LAYERS:
        if taps:
            x = blur_down(max_pool(x, 2, 1)) if shift_tolerant else max_pool(x, 2, 2)
        for _ in range(layers):
            x = relu(conv2d(x, *next(remaining), padding=1))
        taps.append(x)
    return taps


def alex(x: np.ndarray, convs: Convs, shift_tolerant: bool) -> list[np.ndarray]:
    if shift_tolerant:
        first = relu(blur_down(conv2d(x, *convs[0], padding=2)))
        pool = lambda v: blur_down(max_pool(v, 3, 1))  # noqa: E731
    else:
        first = relu(conv2d(x, *convs[0], stride=4, padding=2))
        pool = lambda v: max_pool(v, 3, 2)  # noqa: E731
    second = relu(conv2d(pool(first), *convs[1], padding=2))
    third = relu(conv2d(pool(second), *convs[2], padding=1))
    fourth = relu(conv2d(third, *convs[3], padding=1))
    return [first, second, third, fourth, relu(conv2d(fourth, *convs[4], padding=1))]


def named(convs: Convs, names: list[str]) -> dict[str, np.ndarray]:
    pairs = zip(names, convs)
    return {f"{n}.{p}": a for n, pair in pairs for p, a in zip(("weight", "bias"), pair)}


def heads(widths: tuple[int, ...]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    generator = np.random.default_rng(9)
    values = [generator.uniform(0, 1, width) for width in widths]
    return values, {f"lin{i}.model.1.weight": v[None, :, None, None] for i, v in enumerate(values)}


@pytest.fixture(scope="module")
def vgg_convs() -> Convs:
    generator, convs, fan_in = np.random.default_rng(0), [], 3
    for layers, width in zip(VGG_LAYERS, VGG_WIDTHS):
        for _ in range(layers):
            convs.append(convolution(generator, width, fan_in, 3))
            fan_in = width
    return convs


@pytest.fixture(scope="module")
def alex_convs() -> Convs:
    generator = np.random.default_rng(1)
    return [convolution(generator, *shape) for shape in ALEX_SHAPES]


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, vgg_convs: Convs, alex_convs: Convs
) -> dict[str, list[Path]]:
    """Published files by the name of the weights."""
    folder = tmp_path_factory.mktemp("published")
    # Indices within the file; those of the blurs and pools are passed over.
    vgg_slices = ("1.0", "1.2", "2.6", "2.8", "3.12", "3.14", "3.16", "4.20", "4.22", "4.24")
    vgg_slices += ("5.28", "5.30", "5.32")
    scaling = {
        "scaling_layer.shift": SHIFT[None, :, None, None],
        "scaling_layer.scale": SCALE[None, :, None, None],
        "net.slice2.5.filt": np.ones([1, 1, 3, 3]),
    }
    alex_slices = ("1.0", "2.5", "3.9", "4.11", "5.13")
    contents: dict[str, dict[str, np.ndarray]] = {
        "vgg": named(vgg_convs, [f"features.{i}" for i in VGG_INDICES]),
        "alex": named(alex_convs, [f"features.{i}" for i in (0, 3, 6, 8, 10)]),
        "vgg_heads": heads(VGG_WIDTHS)[1],
        "alex_heads": heads(ALEX_WIDTHS)[1],
        "vgg_st": {**scaling, **named(vgg_convs, [f"net.slice{s}" for s in vgg_slices])},
        "alex_st": {**scaling, **named(alex_convs, [f"net.slice{s}" for s in alex_slices])},
    }
    contents["vgg_st"].update(contents["vgg_heads"])
    contents["alex_st"].update(contents["alex_heads"])
    at = {name: write_pth(folder / f"{name}.pth", arrays) for name, arrays in contents.items()}
    return {
        "lpips-vgg": [at["vgg_heads"], at["vgg"]],  # in either order
        "lpips-alex": [at["alex"], at["alex_heads"]],
        "stlpips-vgg": [at["vgg_st"]],
        "stlpips-alex": [at["alex_st"]],
        "vgg16-torchvision": [at["vgg"]],
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, files: dict[str, list[Path]]) -> Path:
    """Where the command has converted all of them."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGAN_CACHE", str(folder))
        for paths in files.values():
            assert main(["weights", "convert", *map(str, paths)]) == 0
    return folder


@pytest.fixture(autouse=True)
def environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for weights in CATALOGUE.values():
        monkeypatch.delenv(weights.variable, raising=False)
    monkeypatch.setenv("PYGAN_CACHE", str(cache))


def images(height: int, width: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, [2, 3, height, width]).astype(np.float32)


def distance(network: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return network.distance(paddle.to_tensor(a), paddle.to_tensor(b)).numpy()


def test_all_are_installed() -> None:
    names = ["vgg16-torchvision", "stlpips-vgg", "stlpips-alex", "lpips-vgg", "lpips-alex"]
    assert installed() == [*names, "vgg16-torchvision-unit"]


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("lpips-vgg", 16, 21),
        ("stlpips-vgg", 23, 18),
        ("lpips-alex", 31, 44),
        ("stlpips-alex", 24, 29),
    ],
)
def test_lpips(name: str, height: int, width: int, vgg_convs: Convs, alex_convs: Convs) -> None:
    a, b = images(height, width), images(height, width, 4)
    network = find_perceptual(name)
    tolerant = name.startswith("st")
    if name.endswith("vgg"):
        run, widths = (lambda x: vgg(x, vgg_convs, tolerant)), VGG_WIDTHS
    else:
        run, widths = (lambda x: alex(x, alex_convs, tolerant)), ALEX_WIDTHS
    ones, others = (run((x - SHIFT[:, None, None]) / SCALE[:, None, None]) for x in (a, b))
    want = lpips(ones, others, heads(widths)[0])
    assert want.min() > 0.1
    np.testing.assert_allclose(distance(network, a, b), want, rtol=2e-5)
    np.testing.assert_array_equal(distance(network, a, a), 0)
    vectors = [network.embed(paddle.to_tensor(x)).numpy().astype(float) for x in (a, b)]
    np.testing.assert_allclose(((vectors[0] - vectors[1]) ** 2).sum(1), want, rtol=2e-4)


def test_distances_of_features(vgg_convs: Convs) -> None:
    a, b = images(16, 19), images(16, 19, 4)
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    deviation = np.array([0.229, 0.224, 0.225])[:, None, None]
    ones, others = (vgg(((x + 1) / 2 - mean) / deviation, vgg_convs) for x in (a, b))
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    pairs = zip(weights, ones, others)
    want = sum(w * np.abs(one - other).mean((1, 2, 3)) for w, one, other in pairs)
    got = distance(find_perceptual("vgg16-torchvision"), a, b)
    np.testing.assert_allclose(got, want, rtol=2e-5)
    got = distance(find_perceptual("vgg16-torchvision-unit"), a, b)
    np.testing.assert_allclose(got, lpips(ones, others, None), rtol=2e-5)


def test_means_of_large_layers_are_accurate() -> None:
    """Paddle adds float32 one after the other: a mean of a million numbers is 1e-4 off."""
    generator = np.random.default_rng(0)
    shape = [1, 64, 128, 128]
    one, other = (generator.uniform(0, 1, shape).astype(np.float32) for _ in range(2))
    network = find_perceptual("vgg16-torchvision")
    got = network._layer(paddle.to_tensor(one), paddle.to_tensor(other)).item() / network._scale
    want = np.abs(one.astype(np.float64) - other).mean()
    assert got == pytest.approx(want, rel=2e-6)


def test_the_range_of_inputs_does_not_change_the_size_of_the_loss() -> None:
    """A network whose inputs and activations are k times as large gives the same loss."""
    network = find_perceptual("vgg16-torchvision")
    a, b = images(16, 16), images(16, 16, 4)
    want = distance(network, a, b)
    state = network.network.state_dict()
    state["deviation"].set_value(state["deviation"].numpy() / 50)
    for name, value in state.items():
        if name.endswith("bias"):
            value.set_value(value.numpy() * 50)
    again = distances.FeatureDistance(network.network, network._weights, unit=False)
    np.testing.assert_allclose(distance(again, a, b), want, rtol=1e-4)


@pytest.mark.parametrize("name", ["stlpips-alex", "vgg16-torchvision-unit"])
def test_gradient(name: str) -> None:
    """Along a random direction, in float64. Flat images would tie in maximum pools."""
    network = find_perceptual(name).to(dtype="float64")
    a, b = (images(25, 24, seed)[:1].astype(np.float64) for seed in (3, 4))
    direction = np.random.default_rng(5).normal(0, 1, a.shape)
    x = paddle.to_tensor(a, stop_gradient=False)
    network(x, paddle.to_tensor(b)).sum().backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    step = 1e-6
    ends = [
        float(network(paddle.to_tensor(a + s * direction), paddle.to_tensor(b)).sum())
        for s in (step, -step)
    ]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert float((x.grad.numpy() * direction).sum()) == pytest.approx(slope, rel=1e-4)


def test_equal_images_have_a_finite_gradient() -> None:
    network = find_perceptual("stlpips-alex")
    x = paddle.full([1, 3, 24, 24], -1.0)
    x.stop_gradient = False
    network.distance(x, x.detach()).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_shapes_of_images() -> None:
    network = find_perceptual("lpips-alex")
    a, b = images(31, 32), images(31, 32, 4)
    pairs = distance(network, a, b)
    np.testing.assert_allclose(distance(network, a, b[:1])[0], pairs[0], rtol=1e-5)
    assert distance(network, a[:1], b).shape == (2,)
    grey, colour = a[:, :1], np.repeat(a[:, :1], 3, 1)
    np.testing.assert_array_equal(distance(network, grey, b), distance(network, colour, b))
    for bad, message in (
        (a[:, :2], "must be .N, 3, H, W."),
        (a[0], "must be .N, 3, H, W."),
        (a[:, :, :30], "at least 31 × 31, got 30 × 32"),
        (a[..., 1:], "must have one shape"),
        (np.concatenate([a, a]), "must have one shape"),
    ):
        with pytest.raises(InputError, match=message):
            distance(network, bad, b)


@pytest.mark.parametrize("name", ["lpips-vgg", "stlpips-vgg", "lpips-alex", "stlpips-alex"])
def test_the_smallest_images(name: str, vgg_convs: Convs, alex_convs: Convs) -> None:
    network = find_perceptual(name)
    least = network.least
    a, b = images(least, least), images(least, least, 4)
    assert (distance(network, a, b) > 0).all()
    smaller = a[:, :, 1:, 1:]
    with pytest.raises(InputError, match=f"for {name} must be at least {least} × {least}"):
        distance(network, smaller, smaller)
    # Why: there would be less than a window to pool (Paddle cuts windows off) or to mirror.
    run: dict[str, Callable[[], Any]] = {
        "lpips-vgg": lambda: vgg(smaller, vgg_convs),
        "lpips-alex": lambda: alex(smaller, alex_convs, False),
    }
    with pytest.raises(ValueError):
        run.get(name, lambda: network.trunk(paddle.to_tensor(smaller)))()


def test_fully_connected_layers(vgg_convs: Convs) -> None:
    """In the order of torchvision, narrower: for images of 64 the layers see 2 × 2 × 512."""
    extractor = find_extractor("vgg16-torchvision")
    assert extractor.dims == {"relu5_3": 512}
    network = extractor._network
    assert isinstance(network, VGG16)
    generator = np.random.default_rng(6)
    shapes = {"fc6": (9, 2048), "fc7": (7, 9), "fc8": (5, 7)}
    layers = {}
    for name, (fan_out, fan_in) in shapes.items():
        weight = generator.normal(0, fan_in**-0.5, [fan_out, fan_in]).astype(np.float32)
        layers[name] = weight, generator.normal(0, 0.1, fan_out).astype(np.float32)
        layer = Linear(fan_in, fan_out)
        layer.weight.set_value(weight)
        layer.bias.set_value(layers[name][1])
        setattr(network, name, layer)
    network.dims = {"fc2": 7, "relu5_3": 512, "logits": 5}
    pixels = generator.integers(0, 256, [1, 3, 64, 64])
    mean = 255 * np.array([0.485, 0.456, 0.406])[:, None, None]
    deviation = 255 * np.array([0.229, 0.224, 0.225])[:, None, None]
    last = vgg((pixels - mean) / deviation, vgg_convs)[-1]
    hidden = max_pool(last, 2, 2).reshape(1, -1)
    for name in ("fc6", "fc7"):
        hidden = relu(hidden @ layers[name][0].T + layers[name][1])
    got = network.features(paddle.to_tensor(pixels.astype(np.float32)))
    np.testing.assert_allclose(got["relu5_3"].numpy(), last.mean((2, 3)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got["fc2"].numpy(), hidden, rtol=1e-3, atol=1e-4)
    logits = hidden @ layers["fc8"][0].T + layers["fc8"][1]
    np.testing.assert_allclose(got["logits"].numpy(), logits, rtol=1e-3, atol=1e-4)


def test_blur() -> None:
    x = np.random.default_rng(0).normal(0, 1, [2, 3, 7, 4])
    got = distances.blur_down(paddle.to_tensor(x)).numpy()
    assert got.shape == (2, 3, 5, 3)
    np.testing.assert_allclose(got, blur_down(x), rtol=1e-12)
    assert windows(x, 3, 2).shape == (2, 3, 3, 1, 3, 3)
