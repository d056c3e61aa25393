"""Whichever engine computes a convolution, float32 stays close to float64, to second order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
import pytest

from pygan.ops import last_conv_path, modulated_conv2d, set_conv_path, setup_filter

MODES = {"same": (1, 1), "up": (2, 1), "down": (1, 2)}
# of the largest value; the second order is a chain of three convolutions
FIRST_ORDER, SECOND_ORDER = 2e-5, 6e-5


@contextmanager
def conv_path(name: str) -> Iterator[None]:
    previous = set_conv_path(name)
    try:
        yield
    finally:
        set_conv_path(previous)


def layer_and_derivatives(
    arrays: list[np.ndarray], dtype: str, **options: object
) -> tuple[list[np.ndarray], str]:
    """y, its gradients, and the gradients of their squares, as path-length regularisation has."""
    x, w, s = (paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays)
    y = modulated_conv2d(x, w, s, padding=1, act="lrelu", impl="native", **options)
    path = last_conv_path()
    weights = paddle.to_tensor(np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype))
    first = paddle.grad([(y * weights).sum()], [x, w, s], create_graph=True)
    second = paddle.grad([sum((g * g).sum() for g in first)], [x, w, s])
    return [t.numpy() for t in (y, *first, *second)], path


@pytest.mark.parametrize("flip_weight", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["direct", "winograd", "onednn", "auto"])
def test_layer_to_second_order(path: str, mode: str, flip_weight: bool) -> None:
    up, down = MODES[mode]
    rng = np.random.default_rng(1)
    n, ci, co, h, w = 2, 9, 11, 12, 22
    arrays = [rng.standard_normal(a) for a in ((n, ci, h, w), (co, ci, 3, 3), (n, ci))]
    options = {
        "up": up,
        "down": down,
        "resample_filter": setup_filter([1, 3, 3, 1]),
        "flip_weight": flip_weight,
    }
    exact, _ = layer_and_derivatives(arrays, "float64", **options)
    with conv_path(path):
        single, taken = layer_and_derivatives(arrays, "float32", **options)
    if path in ("direct", "winograd"):
        assert taken == path
    for order, (a, b) in enumerate(zip(single, exact, strict=True)):
        limit = FIRST_ORDER if order < 4 else SECOND_ORDER
        assert np.abs(a - b).max() <= limit * np.abs(b).max(), order


@pytest.mark.parametrize("mode", MODES)
def test_winograd_takes_the_layers_of_stylegan2(mode: str) -> None:
    up, down = MODES[mode]
    x = paddle.ones([4, 16, 8 * down, 8 * down])
    f = setup_filter([1, 3, 3, 1])
    modulated_conv2d(
        x,
        paddle.ones([16, 16, 3, 3]),
        paddle.ones([4, 16]),
        up=up,
        down=down,
        padding=1,
        resample_filter=f,
        impl="native",
    )
    assert last_conv_path() == "winograd"
