"""Derivatives of upfirdn2d: native and reference, against finite differences and each other."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from upfirdn2d_cases import IMPLS, TAPS, TOLERANCE, random_case

from pygan.ops import setup_filter, upfirdn2d
from tests.gradcheck import check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")

GRADIENT_CASES = {
    "up2": {"f": TAPS, "up": 2, "padding": [2, 1, 2, 1], "gain": 4},
    "down2": {"f": np.outer(TAPS, TAPS), "down": 2, "padding": 1},
    "blur": {"f": np.outer(TAPS, TAPS), "padding": [2, 1, 2, 1]},
    "general": {
        "f": np.arange(12.0).reshape(3, 4) ** 1.5,
        "up": [3, 2],
        "down": [2, 3],
        "padding": [2, -1, 1, 4],
        "flip_filter": True,
        "gain": 0.3,
    },
    "long": {
        "f": np.sin(np.arange(24.0)),
        "up": [2, 4],
        "down": [1, 3],
        "padding": 12,
        "gain": 0.1,
    },
}


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_first_and_second_derivatives(name: str, impl: str) -> None:
    x = np.random.default_rng(6).standard_normal([2, 2, 5, 6])
    arguments = GRADIENT_CASES[name]
    check_gradients(lambda t: upfirdn2d(t, impl=impl, **arguments) * 0.1, x, names=["x"])


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    x = np.random.default_rng(7).standard_normal([1, 2, 5, 6])
    check_retain_graph(lambda t: upfirdn2d(t, TAPS, 2, padding=2, impl=impl) ** 2, x)


def test_gradients_of_native_and_reference_agree() -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        case = random_case(rng)
        x = rng.standard_normal(case.shape)
        grads = []
        for impl in IMPLS:
            t = paddle.to_tensor(x, stop_gradient=False)
            y = case.run(t, impl)
            (g,) = paddle.grad([(y**3).sum()], [t], create_graph=True)
            (g * g).sum().backward()
            grads.append((g.numpy(), t.grad.numpy()))
        for native, ref in zip(*grads):
            np.testing.assert_allclose(native, ref, rtol=0, atol=1e-11 * np.abs(ref).max() + 1e-300)


def test_third_derivative_of_the_reference() -> None:
    rng = np.random.default_rng(9)
    x0, direction = rng.standard_normal([2, 1, 1, 4, 4])
    f = rng.standard_normal([3, 4])

    def third(x: np.ndarray) -> tuple[float, np.ndarray]:
        t = paddle.to_tensor(x, stop_gradient=False)
        y = upfirdn2d(t, f, up=2, padding=1, impl="ref") ** 3
        (g,) = paddle.grad([y.sum()], [t], create_graph=True)
        (h,) = paddle.grad([(g * g).sum()], [t], create_graph=True)
        size = (h * h).sum()
        return size.item(), paddle.grad([size], [t])[0].numpy()

    eps = 1e-5
    slope = (third(x0 + eps * direction)[0] - third(x0 - eps * direction)[0]) / (2 * eps)
    assert abs(slope - (third(x0)[1] * direction).sum()) <= 1e-6 * abs(slope)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gradient_has_the_type_of_x(dtype: str) -> None:
    rng = np.random.default_rng(10)
    x = paddle.to_tensor(rng.standard_normal([1, 2, 6, 7])).astype(dtype)
    x.stop_gradient = False
    y = upfirdn2d(x, setup_filter(TAPS), 2, padding=[2, 1, 2, 1], impl="native")
    (g,) = paddle.grad([y], [x], grad_outputs=[y.detach()])
    assert g.dtype == x.dtype
    assert g.shape == x.shape
    # <dy, y> = <g, x> for dy = y: the gradient is the transpose.
    x, y, g = (t.astype("float64").numpy() for t in (x, y, g))
    left, right = (y**2).sum(), (g * x).sum()
    assert abs(left - right) <= 20 * TOLERANCE[dtype] * abs(left)
