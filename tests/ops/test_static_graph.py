"""Operators in the static graphs of Paddle 3: `to_static`, and programs saved and loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
import pytest

from pygan.ops import (
    bias_act,
    color_transform,
    conv2d,
    conv2d_resample,
    conv_transpose2d,
    downsample2d,
    filter2d,
    image_filter,
    instance_edges,
    instance_mean,
    label_conv2d,
    modulated_conv2d,
    norm_statistics,
    setup_filter,
    spade_norm,
    upfirdn2d,
    upsample2d,
    warp,
)

IMPLS = ["native", "ref"]
SHAPE = [2, 3, 6, 8]
pytestmark = [
    pytest.mark.usefixtures("needs_native"),
    pytest.mark.skipif(paddle.__version__.startswith("2."), reason="Paddle 3's static graphs"),
]


class Layer(paddle.nn.Layer):
    """One operator with parameters and a filter, as the layers of pygan.nn call it."""

    def __init__(
        self,
        operator: Callable[..., paddle.Tensor],
        impl: str,
        noise: Optional[list[int]] = None,
        channels: int = 4,
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.operator, self.impl = operator, impl
        rng = np.random.default_rng(0)

        def parameter(*shape: int) -> paddle.Tensor:
            values = paddle.nn.initializer.Assign(rng.standard_normal(shape).astype("float32"))
            return self.create_parameter(list(shape), default_initializer=values)

        self.w = parameter(channels, 3, 3, 3)
        self.transposed = parameter(3, channels, 3, 3)
        self.b = parameter(channels)
        self.strength = parameter(1)
        self.noise = None if noise is None else parameter(*noise)
        f = setup_filter([1, 3, 3, 1], separable=separable)
        self.register_buffer("f", f, persistable=False)
        self.eval()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.operator(self, x, impl=self.impl)


def modulated(layer: Layer, x: paddle.Tensor, **arguments: Any) -> paddle.Tensor:
    styles = x.mean([2, 3]) + 1
    return modulated_conv2d(
        x, layer.w, styles, layer.noise, padding=1, resample_filter=layer.f, bias=layer.b,
        noise_strength=layer.strength, act="lrelu", clamp=2.0, **arguments,
    )  # fmt: skip


def resampled(layer: Layer, x: paddle.Tensor, **arguments: Any) -> paddle.Tensor:
    return conv2d_resample(
        x, layer.w, layer.f, padding=1, bias=layer.b, act="swish", flip_filter=True, **arguments
    )


def ids(x: paddle.Tensor) -> paddle.Tensor:
    """A label from -1 to 2 for each pixel, as a function of the images."""
    return paddle.clip((x[:, 0] * 2).floor(), -1, 2).astype("int32").detach()


def numbers(x: paddle.Tensor, row: list[float]) -> paddle.Tensor:
    """A row for each image of x, as a function of the images, as augmentation would draw it."""
    size = x.mean([1, 2, 3]).abs().astype("float64").detach().unsqueeze(1)
    return size * paddle.to_tensor([row], "float64")


def normalised(layer: Layer, x: paddle.Tensor, impl: str, **settings: Any) -> paddle.Tensor:
    """x with gamma and beta of three of w's kernels, by the statistics of the batch."""
    mean, variance = norm_statistics(x, impl=impl)
    maps = conv2d(x, layer.w, padding=1, impl=impl)
    return spade_norm(x, mean, variance, impl=impl, gamma_beta=maps, **settings)


COLORS = [1.0, 0.5, 0, 0, 2, 1, -1, 0, 1, 0.25, -0.5, 0.125, 0.5, 1, 50, -1, 9]
LAYERS: dict[str, tuple[Callable[..., paddle.Tensor], dict[str, Any]]] = {
    "bias_act": (lambda s, x, **k: bias_act(x, s.b, act="tanh", **k), {"channels": 3}),
    "upfirdn2d": (
        lambda s, x, **k: upfirdn2d(x, s.f, [3, 2], [1, 2], [2, -1, 1, 4], gain=3, **k),
        {},
    ),
    "upfirdn2d, 1-D": (lambda s, x, **k: upfirdn2d(x, s.f, 2, 3, 3, **k), {"separable": True}),
    "upfirdn2d, no filter": (lambda s, x, **k: upfirdn2d(x, None, 2, **k), {}),
    "filter2d": (lambda s, x, **k: filter2d(x, s.f, **k), {}),
    "upsample2d": (lambda s, x, **k: upsample2d(x, s.f, **k), {}),
    "downsample2d": (lambda s, x, **k: downsample2d(x, s.f, flip_filter=True, **k), {}),
    "warp": (lambda s, x, **k: warp(x, numbers(x, [9, -2, 7, 3, 8, -4]), **k), {}),
    "color_transform": (lambda s, x, **k: color_transform(x, numbers(x, COLORS), **k), {}),
    "color_transform, noise": (
        lambda s, x, **k: color_transform(x, numbers(x, COLORS), x.detach(), **k),
        {},
    ),
    "image_filter": (lambda s, x, **k: image_filter(x, numbers(x, [1, 3, 2, -4, 1]), **k), {}),
    "label_conv2d": (
        lambda s, x, **k: label_conv2d(ids(x), s.w, s.b, stride=[1, 2], padding=1, **k),
        {},
    ),
    "instance_mean": (lambda s, x, **k: instance_mean(x, ids(x), **k), {}),
    "instance_edges": (lambda s, x, **k: instance_edges(ids(x), **k), {}),
    "norm_statistics": (
        lambda s, x, **k: paddle.add(*norm_statistics(x, "instance", **k)),
        {},
    ),
    "spade_norm": (lambda s, x, **k: normalised(s, x, activation="lrelu", **k), {"channels": 6}),
    "spade_norm, own statistics": (
        lambda s, x, **k: normalised(s, x, own_statistics="batch", **k),
        {"channels": 6},
    ),
    "conv2d": (lambda s, x, **k: conv2d(x, s.w, s.b, stride=2, padding=[1, 0], **k), {}),
    "conv_transpose2d": (
        lambda s, x, **k: conv_transpose2d(x, s.transposed, s.b, 2, 1, 1, **k),
        {},
    ),
    "conv2d_resample, up": (lambda s, x, **k: resampled(s, x, up=2, **k), {}),
    "conv2d_resample, down": (lambda s, x, **k: resampled(s, x, down=2, **k), {}),
    "modulated_conv2d": (modulated, {"noise": [1, 1, 6, 8]}),
    "modulated_conv2d, up": (lambda s, x, **k: modulated(s, x, up=2, **k), {"noise": [12, 16]}),
}


def images(seed: int = 1) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(SHAPE).astype("float32"))


def assert_same(got: paddle.Tensor, want: paddle.Tensor, impl: str) -> None:
    # The reference takes its filters as tensors in a static graph, and orders its sums otherwise.
    error = np.abs(got.numpy() - want.numpy()).max()
    assert error <= (0 if impl == "native" else 1e-5 * np.abs(want.numpy()).max())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", LAYERS)
def test_saved_program_gives_the_same_values(name: str, impl: str, tmp_path: Path) -> None:
    operator, options = LAYERS[name]
    layer = Layer(operator, impl, **options)
    # The number of samples is left open.
    spec = [paddle.static.InputSpec([None, *SHAPE[1:]], "float32")]
    paddle.jit.save(layer, str(tmp_path / "layer"), input_spec=spec)
    loaded = paddle.jit.load(str(tmp_path / "layer"))
    for x in (images(), images(2)[:1]):
        assert_same(loaded(x), layer(x), impl)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("full_graph", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_to_static_gives_the_same_values(name: str, full_graph: bool, impl: str) -> None:
    operator, options = LAYERS[name]
    layer, static = Layer(operator, impl, **options), Layer(operator, impl, **options)
    static = paddle.jit.to_static(static, full_graph=full_graph)
    assert_same(static(images()), layer(images()), impl)


@pytest.mark.parametrize("name", LAYERS)
def test_to_static_at_several_sizes(name: str) -> None:
    """Unless the graph must be whole, Paddle may leave sizes open once it has seen two of them."""
    operator, options = LAYERS[name]
    layer, static = (Layer(operator, "native", **{**options, "noise": None}) for _ in range(2))
    layer.strength = static.strength = None
    static = paddle.jit.to_static(static, full_graph=False)
    for size in ((6, 8), (8, 8), (10, 12)):
        x = paddle.rand([2, 3, *size])
        assert_same(static(x), layer(x), "native")


@pytest.mark.parametrize("impl", IMPLS)
def test_filter_that_is_no_buffer_becomes_a_constant(impl: str, tmp_path: Path) -> None:
    f = setup_filter([1, 3, 3, 1])
    layer = Layer(lambda s, x, **k: upsample2d(x, f, **k), impl)
    spec = [paddle.static.InputSpec(SHAPE, "float32")]
    paddle.jit.save(layer, str(tmp_path / "layer"), input_spec=spec)
    assert_same(paddle.jit.load(str(tmp_path / "layer"))(images()), layer(images()), impl)


@pytest.mark.parametrize("name", ["upfirdn2d", "conv2d", "conv2d_resample, up", "modulated_conv2d"])
def test_sizes_must_be_known(name: str, tmp_path: Path) -> None:
    operator, options = LAYERS[name]
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    with pytest.raises(ValueError, match=r"`x` has shape \[-1, 3, -1, -1\] in this static graph"):
        paddle.jit.save(
            Layer(operator, "native", **options), str(tmp_path / "layer"), input_spec=spec
        )


LOAD = """
import sys
import numpy as np
import paddle
import pygan.ops

assert pygan.ops.native_info()["available"]
x = paddle.to_tensor(np.load(sys.argv[2]))
np.save(sys.argv[3], paddle.jit.load(sys.argv[1])(x).numpy())
"""


def test_another_process_loads_the_program(tmp_path: Path) -> None:
    layer = Layer(modulated, "native", noise=[6, 8])
    spec = [paddle.static.InputSpec(SHAPE, "float32")]
    model, x, y = (str(tmp_path / name) for name in ("layer", "x.npy", "y.npy"))
    paddle.jit.save(layer, model, input_spec=spec)
    np.save(x, images().numpy())
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", LOAD, model, x, y], cwd=root, check=True)
    np.testing.assert_array_equal(np.load(y), layer(images()).numpy())


def test_saved_layer_with_a_parameter_and_a_clamp_gives_the_same_values(tmp_path: Path) -> None:
    class Biased(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.b = self.create_parameter([3], default_initializer=paddle.nn.initializer.Normal())

        def forward(self, x):
            return bias_act(x, self.b, act="lrelu", clamp=0.5)

    layer = Biased()
    layer.eval()
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32"))
    spec = [paddle.static.InputSpec([None, 3, 4, 5], "float32")]
    paddle.jit.save(layer, str(tmp_path / "layer"), input_spec=spec)
    loaded = paddle.jit.load(str(tmp_path / "layer"))
    np.testing.assert_array_equal(loaded(x).numpy(), layer(x).numpy())
