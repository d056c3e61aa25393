"""The scaling of half-precision weights and styles against float64, for tests of both devices.

The exact values are numpy's; the exact derivatives are those of a float64 composition in which the
largest magnitudes are constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import paddle

from pygan.ops.modulated_conv2d import modulation

DType = Literal["float16", "bfloat16", "float32", "float64"]
# Of the largest value: first and second order. float16 keeps 10 bits of mantissa, bfloat16 7 (and
# the CPU of Paddle 2 rounds towards zero); a second order is a chain of several roundings.
TOLERANCES = {"float16": (2e-3, 4e-3), "bfloat16": (2e-2, 4e-2)}
# n, i, o, kh, kw: odd everything; more samples than a block takes at once, and than outputs; more
# input channels than a block takes at once; more taps than shared memory holds; one of everything
SHAPES = [
    (2, 5, 7, 3, 3),
    (9, 13, 3, 1, 1),
    (20, 4, 2, 1, 5),
    (3, 300, 4, 3, 3),
    (1, 2, 1, 50, 50),
    (1, 1, 1, 1, 1),
]


def rounded(array: np.ndarray, dtype: DType) -> np.ndarray:
    """The nearest numbers that ``dtype`` has."""
    return paddle.to_tensor(array).astype(dtype).astype("float64").numpy()


def operands(shape: tuple[int, ...], dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    """Weights and styles that are numbers of ``dtype``, but far from 1."""
    n, i, o, kh, kw = shape
    rng = np.random.default_rng(sum(shape))
    weight = 30 * rng.standard_normal((o, i, kh, kw)) * rng.uniform(0.1, 10, (o, 1, 1, 1))
    styles = 0.05 * rng.standard_normal((n, i)) * rng.uniform(0.1, 10, (n, 1))
    return rounded(weight, dtype), rounded(styles, dtype)


def leaf(array: np.ndarray, dtype: DType, frozen: bool = False) -> paddle.Tensor:
    tensor = paddle.to_tensor(array).astype(dtype).detach()
    tensor.stop_gradient = frozen
    return tensor


def exact_values(weight: np.ndarray, styles: np.ndarray) -> list[np.ndarray]:
    w = weight / np.abs(weight).max((1, 2, 3), keepdims=True).clip(1e-8)
    w = w / math.sqrt(w[0].size)
    s = styles / np.abs(styles).max(1, keepdims=True).clip(1e-8)
    return [w, s, 1 / np.sqrt(np.einsum("ni,oi->no", s**2, (w**2).sum((2, 3))) + 1e-8)]


def exact_modulation(
    weight: paddle.Tensor, styles: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    scaled_weight, scaled_styles, _ = exact_values(weight.numpy(), styles.numpy())
    # Constants: c·t, and not t over its own largest magnitude.
    w = weight * paddle.to_tensor(_quotient(scaled_weight, weight.numpy()))
    s = styles * paddle.to_tensor(_quotient(scaled_styles, styles.numpy()))
    d = paddle.pow(paddle.matmul(s * s, (w * w).sum([2, 3]), transpose_y=True) + 1e-8, -0.5)
    return w, s, d


def _quotient(scaled: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The one factor of each of the first axis, from where it is best known."""
    axes = tuple(range(1, given.ndim))
    return np.abs(scaled).max(axes, keepdims=True) / np.abs(given).max(axes, keepdims=True)


def derivatives(
    results: Sequence[paddle.Tensor], leaves: Sequence[paddle.Tensor], dtype: DType
) -> list[np.ndarray]:
    """The gradients of a quadratic form of ``results``, and those of the gradients' squares."""
    wide: DType = "float64" if results[0].dtype == paddle.float64 else "float32"
    rng = np.random.default_rng(7)
    total = paddle.zeros([], dtype=wide)
    for result in results:
        t = result.astype(wide)
        factor = paddle.to_tensor(rounded(rng.standard_normal(t.shape), dtype)).astype(wide)
        total = total + (t * factor).sum() + (t * t * factor).sum()
    first = paddle.grad([total], leaves, create_graph=True)
    # Each in the unit of its largest value, so that no one drowns the other.
    squares = [((g.astype(wide) / float(g.astype(wide).abs().max())) ** 2).sum() for g in first]
    second = paddle.grad([paddle.add_n(squares)], leaves)
    assert [g.dtype for g in (*first, *second)] == [t.dtype for t in (*leaves, *leaves)]
    return [g.astype("float64").numpy() for g in (*first, *second)]


def check_modulation(
    shape: tuple[int, ...],
    dtype: DType,
    types: tuple[DType, DType],
    frozen: tuple[bool, bool] = (False, False),
) -> None:
    """Values and derivatives of `modulation` with weights and styles of these types."""
    arrays = operands(shape, dtype)
    w, s = pairs = [leaf(a, t, f) for a, t, f in zip(arrays, types, frozen, strict=True)]
    results = modulation(w, s, getattr(paddle, dtype), impl="native")
    assert [t.dtype for t in results] == 3 * [getattr(paddle, dtype)]
    assert [t.stop_gradient for t in results[:2]] == list(frozen)
    w, s = exact_pairs = [leaf(a, "float64", f) for a, f in zip(arrays, frozen, strict=True)]
    exact = exact_values(*arrays) + derivatives(
        exact_modulation(w, s), [t for t in exact_pairs if not t.stop_gradient], dtype
    )
    actual = [t.astype("float64").numpy() for t in results]
    actual += derivatives(results, [t for t in pairs if not t.stop_gradient], dtype)
    wanted = frozen.count(False)
    for k, (a, b) in enumerate(zip(actual, exact, strict=True)):
        error = np.abs(a - b).max() / np.abs(b).max()
        tolerance = TOLERANCES[dtype][k >= 3 + wanted]
        assert error <= tolerance, f"result {k}: error {error:.2g}"
