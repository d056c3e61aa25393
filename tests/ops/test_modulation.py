"""Weights, styles and demodulation of half-precision layers, on the CPU (modulation_cases.py)."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from modulation_cases import SHAPES, DType, check_modulation, exact_values, leaf, operands, rounded

from pygan.ops import modulated_conv2d, no_weight_gradients
from pygan.ops.modulated_conv2d import modulation

pytestmark = pytest.mark.usefixtures("needs_native")

HALVES: list[DType] = ["float16", "bfloat16"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wide", [(True, True), (False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", HALVES)
def test_values_and_both_derivatives(
    dtype: DType, wide: tuple[bool, bool], shape: tuple[int, ...]
) -> None:
    types: list[DType] = ["float32" if w else dtype for w in wide]
    check_modulation(shape, dtype, (types[0], types[1]))


@pytest.mark.parametrize("frozen", [(True, False), (False, True)])
def test_constant_weights_and_constant_styles(frozen: tuple[bool, bool]) -> None:
    check_modulation((2, 5, 7, 3, 3), "float16", ("float32", "float16"), frozen)


@pytest.mark.parametrize("dtype", HALVES)
def test_equals_the_reference(dtype: DType) -> None:
    """Other types are widened to float32 first, as there."""
    weight, styles = operands((2, 5, 7, 3, 3), dtype)
    other: DType = "bfloat16" if dtype == "float16" else "float64"
    pair = leaf(weight, other), leaf(styles, "float64")
    results = [modulation(*pair, getattr(paddle, dtype), impl=i) for i in ("native", "ref")]
    for got, expected in zip(*results):
        assert expected.dtype == paddle.float32
        bits = 2**-10 if dtype == "float16" else 2**-7  # Paddle 2's CPU rounds towards zero
        exact = expected.numpy()
        assert np.all(np.abs(got.astype("float32").numpy() - exact) <= bits * np.abs(exact) + 6e-8)


@pytest.mark.parametrize("magnitude", [1e-6, 1, 1e15])
def test_nothing_overflows(magnitude: float) -> None:
    weight, styles = operands((2, 5, 7, 3, 3), "float16")
    exact = exact_values(weight, styles)
    pair = leaf(magnitude * weight, "float32"), leaf(styles / magnitude, "float32")
    if magnitude == 1e15:  # styles below what is divided by at least, 1e-8
        pair = pair[0], leaf(styles, "float32")
    for got, expected in zip(modulation(*pair, paddle.float16, impl="native"), exact):
        np.testing.assert_allclose(got.astype("float32").numpy(), expected, rtol=1e-3, atol=1e-6)


def test_zeros_stay_zeros() -> None:
    pair = leaf(np.zeros((3, 2, 1, 1)), "float32"), leaf(np.zeros((2, 2)), "float32")
    weight, styles, d = modulation(*pair, paddle.float16, impl="native")
    assert not weight.astype("float32").numpy().any()
    assert not styles.astype("float32").numpy().any()
    np.testing.assert_allclose(d.astype("float32").numpy(), 1e4, rtol=1e-3)  # (1e-8)^(-1/2)


def test_no_weight_gradients() -> None:
    """Inside the block weights' first order is zero; styles', and the second order, are as ever."""
    arrays = operands((2, 5, 7, 3, 3), "float16")

    def gradients(skip: bool) -> list[np.ndarray]:
        w, s = (leaf(a, "float32") for a in arrays)
        d = modulation(w, s, paddle.float16, impl="native")[2].astype("float32")
        if skip:
            with no_weight_gradients():
                gw, gs = paddle.grad([d.sum()], [w, s], create_graph=True)
        else:
            gw, gs = paddle.grad([d.sum()], [w, s], create_graph=True)
        second = paddle.grad([(gs * gs).sum()], [w, s])
        return [t.numpy() for t in (gw, gs, *second)]

    plain, skipped = gradients(False), gradients(True)
    assert plain[0].any()
    assert not skipped[0].any()
    for a, b in zip(plain[1:], skipped[1:]):
        assert b.any()
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="no static graphs of Paddle 2")
@pytest.mark.parametrize("dtype", HALVES)
def test_static_graph(dtype: DType) -> None:
    weight, styles = operands((2, 5, 7, 3, 3), dtype)
    x = rounded(np.random.default_rng(0).standard_normal((2, 5, 6, 4)), dtype)
    tensors = leaf(x, dtype), leaf(weight, "float32", frozen=True), leaf(styles, "float32")

    def layer(x: paddle.Tensor, w: paddle.Tensor, s: paddle.Tensor) -> paddle.Tensor:
        return modulated_conv2d(x, w, s, padding=1, impl="native").astype("float32")

    static = paddle.jit.to_static(layer, full_graph=True)
    np.testing.assert_array_equal(static(*tensors).numpy(), layer(*tensors).numpy())
