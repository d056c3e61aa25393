"""The convolution layer's CUDA kernels, emulated, against float64: values and both derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
import pytest

from csrc.ptx.runtime import record_launches
from pygan.ops import (
    allow_tf32,
    conv2d,
    conv_transpose2d,
    emulated,
    modulated_conv2d,
    no_weight_gradients,
    setup_filter,
)

MODES = {"same": (1, 1), "up": (2, 1), "down": (1, 2)}
# Of the largest value: y and first order, second order. tf32 and float16 keep 10 bits of mantissa
# of each factor, bfloat16 7; the second order is a chain of three convolutions.
TOLERANCES = {
    "float64": (1e-12, 1e-11),
    "float32": (2e-6, 1e-5),
    "tf32": (2e-3, 5e-3),
    "float16": (4e-3, 1e-2),
    "bfloat16": (3e-2, 6e-2),
}
# n, ci, co, h, w: odd everything; one pixel; more channels and pixels than one tile of any kernel
SHAPES = [(2, 5, 7, 6, 9), (1, 3, 1, 2, 1), (3, 33, 65, 4, 4), (1, 130, 17, 11, 13)]


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    previous = allow_tf32(allowed)
    try:
        yield
    finally:
        allow_tf32(previous)


def tensor(array: np.ndarray, dtype: str, live: bool = True) -> paddle.Tensor:
    return paddle.to_tensor(array.astype(np.float64), stop_gradient=not live).astype(dtype).detach()


def arrays_of(
    shape: tuple[int, ...], up: int, down: int, shared_noise: bool
) -> dict[str, np.ndarray]:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    size = (h * up // down, w * up // down)
    return {
        "x": rng.standard_normal((n, ci, h, w)),
        "weight": rng.standard_normal((co, ci, 3, 3)),
        "styles": rng.standard_normal((n, ci)) + 1,
        "noise": rng.standard_normal((1 if shared_noise else n, 1, *size)),
        "noise_strength": np.array([0.3]),
        "bias": rng.standard_normal(co),
    }


def layer_and_derivatives(
    arrays: dict[str, np.ndarray], dtype: str, second: bool = True, **options: object
) -> list[np.ndarray]:
    """y, its gradients, and the gradients of their squares, as path-length regularisation has."""
    names = list(arrays)
    leaves = []
    for name in names:
        leaf = tensor(arrays[name], dtype)
        leaf.stop_gradient = False
        leaves.append(leaf)
    given = dict(zip(names, leaves))
    y = modulated_conv2d(**given, padding=1, act="lrelu", clamp=2.0, impl="native", **options)
    weights = tensor(np.cos(np.arange(y.size)).reshape(y.shape), dtype, live=False)
    first = paddle.grad([(y * weights).sum()], leaves, create_graph=second)
    results = [y, *first]
    if second:
        results += paddle.grad([sum((g * g).sum() for g in first)], leaves, allow_unused=True)
    return [np.zeros(0) if t is None else t.astype("float64").numpy() for t in results]


def compare(actual: list[np.ndarray], exact: list[np.ndarray], count: int, kind: str) -> None:
    first_order, second_order = TOLERANCES[kind]
    largest = max(np.abs(b).max() for b in exact if b.size)
    for i, (a, b) in enumerate(zip(actual, exact, strict=True)):
        assert a.shape == b.shape
        if b.size == 0:
            continue
        # Some second orders are zero but for rounding, of numbers as large as the others.
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-2 * largest)
        tolerance = first_order if i <= count else second_order
        assert error <= tolerance, f"result {i}: error {error:.2g}, tolerance {tolerance}"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layer_to_second_order(dtype: str, mode: str, shape: tuple[int, ...]) -> None:
    up, down = MODES[mode]
    if down == 2:
        shape = (*shape[:3], 2 * shape[3], 2 * shape[4])
    arrays = arrays_of(shape, up, down, shared_noise=shape[0] == 3)
    options = {"up": up, "down": down, "resample_filter": setup_filter([1, 3, 3, 1])}
    exact = layer_and_derivatives(arrays, "float64", **options)
    with emulated():
        actual = layer_and_derivatives(arrays, dtype, **options)
    # Values near a kink or the clamp may fall on its other side in float32.
    compare(actual, exact, len(arrays), dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["tf32", "float16", "bfloat16"])
def test_tensor_cores(kind: str, mode: str) -> None:
    """Reduced precision against float64 on operands that the type represents exactly.

    Without activation: where a value lies on another side of a kink, no tolerance is right.
    """
    up, down = MODES[mode]
    shape = (2, 40, 24, 8, 6)
    arrays = arrays_of(shape, up, down, shared_noise=False)
    dtype = "float32" if kind == "tf32" else kind
    rounding = "bfloat16" if kind == "bfloat16" else "float16"
    arrays = {k: rounded(v, rounding) for k, v in arrays.items()}
    options = {
        "up": up,
        "down": down,
        "resample_filter": setup_filter([1, 3, 3, 1]),
        "rounding": rounding,
    }
    exact = linear_layer(arrays, "float64", **options)
    with emulated(), tf32(kind == "tf32"), record_launches() as launches:
        actual = linear_layer(arrays, dtype, **options)
    compare(actual, exact, len(arrays), kind)
    assert sum(launch["stats"]["mma_flops"] for launch in launches) > 0, "no tensor core was used"


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    return tensor(array, dtype).astype("float64").numpy()


def linear_layer(
    arrays: dict[str, np.ndarray], dtype: str, rounding: str, **options: object
) -> list[np.ndarray]:
    leaves = {}
    for name, array in arrays.items():
        leaves[name] = tensor(array, dtype)
        leaves[name].stop_gradient = False
    y = modulated_conv2d(**leaves, padding=1, impl="native", **options)
    y = y.astype("float64" if dtype == "float64" else "float32")  # Paddle's CPU sums no halves
    weights = rounded(np.cos(np.arange(y.size)).reshape(y.shape), rounding)
    weights = paddle.to_tensor(weights).astype(y.dtype)
    first = paddle.grad([(y * weights).sum()], list(leaves.values()), create_graph=True)
    squares = [(g.astype(y.dtype) ** 2).sum() for g in first[:3]]
    second = paddle.grad([paddle.add_n(squares)], [leaves["x"], leaves["weight"], leaves["styles"]])
    return [t.astype("float64").numpy() for t in (y, *first, *second)]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (2, 1), (1, 2), (6, 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_plain_convolutions(transposed: bool, groups: int, dilation: int, stride: int) -> None:
    rng = np.random.default_rng(stride + 10 * groups)
    x = rng.standard_normal((2, 6, 7, 10))
    w = rng.standard_normal((6, 12 // groups, 3, 2) if transposed else (12, 6 // groups, 3, 2))
    run = conv_transpose2d if transposed else conv2d

    def derivatives(dtype: str) -> list[np.ndarray]:
        leaves = [paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in (x, w)]
        y = run(*leaves, None, stride=stride, padding=1, groups=groups, dilation=dilation)
        first = paddle.grad([(y * y).sum()], leaves, create_graph=True)
        second = paddle.grad([sum((g * g).sum() for g in first)], leaves)
        return [t.numpy().astype(np.float64) for t in (y, *first, *second)]

    exact = derivatives("float64")
    for dtype in ("float64", "float32"):
        with emulated():
            compare(derivatives(dtype), exact, 2, dtype)


def test_deterministic() -> None:
    arrays = arrays_of((2, 40, 24, 8, 6), 1, 1, shared_noise=False)
    with emulated():
        once, again = (layer_and_derivatives(arrays, "float32") for _ in range(2))
    for a, b in zip(once, again):
        assert np.array_equal(a, b)


def test_weight_gradients_can_be_left_out() -> None:
    x = paddle.randn([1, 4, 6, 6])
    w = paddle.randn([5, 4, 3, 3])
    x.stop_gradient = w.stop_gradient = False
    with emulated(), no_weight_gradients(), record_launches() as launches:
        y = conv2d(x, w, padding=1, impl="native")
        gx, gw = paddle.grad([(y * y).sum()], [x, w])
    assert not gw.abs().sum().item()
    assert gx.abs().sum().item()
    assert not [k for k in launches if "weight_grad" in k["name"]]
