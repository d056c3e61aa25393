"""The finite-difference harness must accept right derivatives and find wrong ones."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph, empty_batch


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_accepts_right_derivatives(rng: np.random.Generator) -> None:
    x, b = rng.standard_normal((3, 4)), rng.standard_normal(4)
    check_gradients(lambda x, b: F.tanh(x * b + b), x, b, names=["x", "b"])
    check_retain_graph(lambda x, b: F.tanh(x * b + b), x, b)


def test_finds_a_wrong_first_derivative(rng: np.random.Generator) -> None:
    def wrong(x: paddle.Tensor) -> paddle.Tensor:
        return x * x.detach()

    with pytest.raises(AssertionError, match=r"first order, d/d x, targets \{x\}, stopped \{\}"):
        check_gradients(wrong, rng.standard_normal((3, 4)), names=["x"])


def test_finds_a_lost_second_derivative(rng: np.random.Generator) -> None:
    with pytest.raises(AssertionError, match="second order, d/d x"):
        check_gradients(_CutsSecondOrder.apply, rng.standard_normal((3, 4)), names=["x"])


class _CutsSecondOrder(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensor()
        return dy * 2 * x.detach()


@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_layouts_keep_the_values(layout: str, rng: np.random.Generator) -> None:
    array = rng.standard_normal((3, 5, 7))
    np.testing.assert_array_equal(HARD_LAYOUTS[layout](array).numpy(), array)


def test_empty_batch(rng: np.random.Generator) -> None:
    t = empty_batch(rng.standard_normal((3, 5)).astype("float32"))
    assert list(t.shape) == [0, 5]
    assert t.dtype == paddle.float32
