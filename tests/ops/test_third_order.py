"""The references to third order, in which Paddle leaves the compiled operators without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.ops import (
    bias_act,
    color_transform,
    conv2d,
    conv2d_resample,
    conv_transpose2d,
    image_filter,
    instance_mean,
    label_conv2d,
    modulated_conv2d,
    norm_statistics,
    setup_filter,
    spade_norm,
    warp,
)

NUMBERS = paddle.to_tensor(np.random.default_rng(0).standard_normal([2, 17]))
LABELS = paddle.to_tensor(np.random.default_rng(1).integers(-1, 3, [2, 3, 4]))
FILTER = setup_filter([1, 3, 3, 1])
OPERATORS: dict[str, tuple[Callable[..., paddle.Tensor], list[tuple[int, ...]]]] = {
    "conv2d": (
        lambda x, w, b: conv2d(x, w, b, padding=1, impl="ref"),
        [(1, 2, 4, 4), (2, 2, 3, 3), (2,)],
    ),
    "conv2d, strided groups": (
        lambda x, w: conv2d(x, w, stride=2, padding=[1, 0], groups=2, impl="ref"),
        [(2, 2, 4, 5), (2, 1, 3, 3)],
    ),
    "conv_transpose2d": (
        lambda x, w: conv_transpose2d(x, w, stride=2, padding=1, impl="ref"),
        [(1, 2, 3, 3), (2, 2, 3, 3)],
    ),
    "conv2d_resample": (
        lambda x, w: conv2d_resample(x, w, FILTER, up=2, padding=1, impl="ref"),
        [(1, 2, 3, 3), (2, 2, 3, 3)],
    ),
    "modulated_conv2d": (
        lambda x, w, s: modulated_conv2d(x, w, s + 2, padding=1, act="tanh", impl="ref"),
        [(1, 2, 3, 3), (2, 2, 3, 3), (1, 2)],
    ),
    "warp": (lambda x: warp(x, NUMBERS[:, :6], impl="ref"), [(2, 1, 3, 4)]),
    "label_conv2d": (
        lambda w, b: label_conv2d(LABELS, w, b, padding=1, impl="ref"),
        [(2, 3, 3, 3), (2,)],
    ),
    "instance_mean": (lambda x: instance_mean(x, LABELS, impl="ref"), [(2, 2, 3, 4)]),
    "color_transform": (
        lambda x: color_transform(x, NUMBERS, impl="ref"),
        [(2, 4, 3, 2)],
    ),
    "image_filter": (lambda x: image_filter(x, NUMBERS[:, :5], impl="ref"), [(2, 1, 3, 4)]),
    "norm_statistics": (
        lambda x: paddle.add(*norm_statistics(x, "instance", impl="ref")),
        [(2, 3, 3, 2)],
    ),
    "spade_norm, statistics given": (
        lambda x, m, v, g, b: spade_norm(x, m, v * v + 1, g, b, activation="lrelu", impl="ref"),
        [(2, 3, 3, 2), (2, 3), (2, 3), (3,), (2, 3, 3, 2)],
    ),
    "spade_norm, its own statistics": (
        lambda x, g: spade_norm(
            x,
            *norm_statistics(x, impl="ref"),
            gamma_beta=g,
            own_statistics="batch",
            epsilon=0.5,
            activation="relu",
            upsample=2,
            impl="ref",
        ),
        [(2, 2, 3, 2), (2, 4, 6, 4)],
    ),
    **{
        f"bias_act, {act}": (
            lambda x, b, act=act: bias_act(x, b, act=act, scale=x.mean([2, 3]), impl="ref"),
            [(1, 2, 3, 3), (2,)],
        )
        for act in ("linear", "lrelu", "tanh", "sigmoid", "swish")
    },
}


def curvature(f: Callable[..., paddle.Tensor], arrays: Sequence[np.ndarray]) -> Any:
    """A function of the second derivatives, and the inputs that it can be differentiated by."""
    inputs = [paddle.to_tensor(a, stop_gradient=False) for a in arrays]
    first = paddle.grad([(f(*inputs) ** 3).sum()], inputs, create_graph=True)
    slope = paddle.add_n([(g * g).sum() for g in first])
    second = paddle.grad([slope], inputs, create_graph=True)
    return paddle.add_n([(h * h).sum() for h in second]), inputs


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="Paddle 3's own third orders")
@pytest.mark.parametrize("name", OPERATORS)
def test_third_derivatives_of_the_references(name: str) -> None:
    f, shapes = OPERATORS[name]
    rng = np.random.default_rng(3)
    arrays = [0.5 * rng.standard_normal(shape) for shape in shapes]
    directions = [rng.standard_normal(shape) for shape in shapes]
    value, inputs = curvature(f, arrays)
    third = paddle.grad([value], inputs)
    got = sum((g.numpy() * d).sum() for g, d in zip(third, directions))
    eps = 1e-6
    ends = [
        curvature(f, [a + sign * eps * d for a, d in zip(arrays, directions)])[0].item()
        for sign in (1, -1)
    ]
    want = (ends[0] - ends[1]) / (2 * eps)
    assert abs(got - want) <= 1e-5 * abs(want)
