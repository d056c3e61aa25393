"""norm_statistics: native and reference, against numpy and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from norm_cases import DTYPES, IMPLS, LARGE, SHAPES, TOLERANCE, statistics_oracle, tensor, wide

from pygan.ops import norm_statistics
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")
BOTH = pytest.mark.parametrize("over", ["batch", "instance"])


def both(x: paddle.Tensor, over: str, impl: str) -> paddle.Tensor:
    """Mean and variance in one tensor, weighted so that neither hides the other."""
    mean, variance = norm_statistics(x, over, impl=impl)
    return mean * 0.7 + variance * mean + variance * 1.3


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [*SHAPES, LARGE], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_numpy(dtype: str, shape: tuple[int, ...], impl: str, over: str) -> None:
    x = tensor(np.random.default_rng(0).standard_normal(shape), dtype)
    mean, variance = norm_statistics(x, over, impl=impl)
    for got, want in zip((mean, variance), statistics_oracle(wide(x), over)):
        assert got.dtype == (paddle.float64 if dtype == "float64" else paddle.float32)
        assert tuple(got.shape) == want.shape
        # The inputs are what was rounded, the statistics never are.
        rtol = 1e-12 if dtype == "float64" else 2e-5 if impl == "ref" else 3e-7
        np.testing.assert_allclose(got.numpy(), want, rtol=rtol, atol=rtol)


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_means_do_not_cancel(dtype: str, impl: str, over: str) -> None:
    rng = np.random.default_rng(1)
    base = np.array([1e3, -3e4, 0.0])[None, :, None, None]
    x = (base + rng.standard_normal([3, 3, 33, 70])).astype(dtype)
    mean, variance = norm_statistics(paddle.to_tensor(x), over, impl=impl)
    want_mean, want_variance = statistics_oracle(x, over)
    # Paddle's float32 sums lose three digits more.
    rtol = 1e-9 if dtype == "float64" else 1e-3 if impl == "ref" else 3e-6
    np.testing.assert_allclose(mean.numpy(), want_mean, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(variance.numpy(), want_variance, rtol=rtol)


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
def test_constant_images_have_no_variance(impl: str, over: str) -> None:
    for value in (0.0, 0.1, -1e8):
        x = paddle.full([2, 3, 5, 41], value, "float32")
        mean, variance = norm_statistics(x, over, impl=impl)
        np.testing.assert_allclose(mean.numpy(), np.float32(value), rtol=1e-5)
        assert np.abs(variance.numpy()).max() <= 1e-10 * value**2


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 2, 1, 1), (1, 2, 3, 1)], ids=str)
def test_first_and_second_derivatives(shape: tuple[int, ...], impl: str, over: str) -> None:
    x = np.random.default_rng(2).standard_normal(shape) + 0.5
    check_gradients(lambda t: both(t, over, impl), x, names=["x"])
    for which in (0, 1):
        check_gradients(lambda t, i=which: norm_statistics(t, over, impl=impl)[i], x, names=["x"])


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_in_every_type(dtype: str, impl: str, over: str) -> None:
    rng = np.random.default_rng(3)
    x = tensor(rng.standard_normal([2, 3, 9, 21]) + 2, dtype)
    x.stop_gradient = False
    mean, variance = norm_statistics(x, over, impl=impl)
    weights = [tensor(rng.standard_normal(mean.shape), "float32") for _ in range(2)]
    loss = (mean * weights[0].astype(mean.dtype)).sum()
    loss = loss + (variance * weights[1].astype(mean.dtype)).sum()
    (g,) = paddle.grad([loss], [x])
    assert g.dtype == x.dtype
    m, _ = statistics_oracle(wide(x), over)
    a, b = (wide(w) for w in weights)
    count = x.size / m.size
    if over == "batch":
        m, a, b = (t[None] for t in (m, a, b))
    m, a, b = (t[:, :, None, None] for t in (m, a, b))
    want = (a + 2 * (wide(x) - m) * b) / count
    np.testing.assert_allclose(wide(g), want, rtol=0, atol=TOLERANCE[dtype] * np.abs(want).max())


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str, over: str) -> None:
    x = np.random.default_rng(4).standard_normal([2, 3, 4, 5])
    check_retain_graph(lambda t: both(t, over, impl), x)


@BOTH
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str, over: str) -> None:
    x = np.random.default_rng(5).standard_normal([2, 3, 5, 18])
    got = norm_statistics(HARD_LAYOUTS[layout](x), over, impl=impl)
    for t, want in zip(got, statistics_oracle(x, over)):
        np.testing.assert_allclose(t.numpy(), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (2, 0, 3, 3)], ids=str)
def test_of_nothing(shape: tuple[int, ...], impl: str) -> None:
    for over, size in (("batch", [shape[1]]), ("instance", [shape[0], shape[1]])):
        for t in norm_statistics(paddle.zeros(shape), over, impl=impl):
            assert t.shape == size
            assert (t.numpy() == 0).all()


BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`x` is a ndarray", {"x": np.zeros([1, 3, 4, 4])}),
    (TypeError, "`x` is .*int32; it must be float32", {"x": paddle.zeros([1, 3, 4, 4], "int32")}),
    (ValueError, r"`x` has shape \[3, 4\]", {"x": paddle.zeros([3, 4])}),
    (ValueError, "`over` is 'layer'; it must be 'batch'", {"over": "layer"}),
    (ValueError, r"`over` is \[0\]", {"over": [0]}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {"x": paddle.zeros([1, 3, 4, 4])}
    with pytest.raises(error, match=message) as caught:
        norm_statistics(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.norm_statistics: ")
