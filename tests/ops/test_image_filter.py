"""image_filter: native and reference, against scipy and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from augment_cases import DTYPES, IMPLS, SHAPES, TOLERANCE, filter_oracle

from pygan.ops import image_filter
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")


def run(x: np.ndarray, taps: np.ndarray, impl: str) -> np.ndarray:
    return image_filter(paddle.to_tensor(x), paddle.to_tensor(taps), impl=impl).numpy()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_scipy(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(0)
    for k in (1, 3, 12 + 1, 43):
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        taps = rng.standard_normal([shape[0], k])
        y = image_filter(x, paddle.to_tensor(taps), impl=impl)
        assert y.dtype == x.dtype
        wide = x.astype("float64").numpy()
        scale = np.abs(taps).sum(1).max() ** 2 * np.abs(wide).max()
        error = np.abs(y.astype("float64").numpy() - filter_oracle(wide, taps)).max()
        assert error <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_one_in_the_middle_copies(dtype: str, impl: str) -> None:
    rng = np.random.default_rng(1)
    x = paddle.to_tensor(rng.standard_normal([3, 2, 11, 8])).astype(dtype)
    taps = rng.standard_normal([3, 5])
    taps[1] = [0, 0, 1, 0, 0]
    y = image_filter(x, paddle.to_tensor(taps), impl=impl).astype("float64").numpy()
    np.testing.assert_array_equal(y[1], x[1].astype("float64").numpy())


@pytest.mark.parametrize("impl", IMPLS)
def test_samples_do_not_depend_on_each_other(impl: str) -> None:
    rng = np.random.default_rng(2)
    x, taps = rng.standard_normal([3, 2, 10, 13]), rng.standard_normal([3, 7])
    together = run(x, taps, impl)
    for n in range(3):
        alone = run(x[n : n + 1], taps[n : n + 1], impl)
        np.testing.assert_allclose(alone[0], together[n], rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (2, 1, 1, 3), (1, 1, 2, 1)], ids=str)
def test_first_and_second_derivatives(shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(3)
    for k in (3, 9):
        taps = paddle.to_tensor(rng.standard_normal([shape[0], k]) / k)
        check_gradients(
            lambda t, taps=taps: image_filter(t, taps, impl=impl),
            rng.standard_normal(shape),
            names=["images"],
        )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_the_transpose(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(4)
    for k in (1, 5, 43):
        taps = paddle.to_tensor(rng.standard_normal([shape[0], k]))
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        dy = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        x.stop_gradient = False
        y = image_filter(x, taps, impl=impl)
        (g,) = paddle.grad([y], [x], grad_outputs=[dy])
        assert g.dtype == x.dtype
        assert g.shape == x.shape
        size = np.abs(taps.numpy()).sum(1).max() ** 2
        x, y, dy, g = (t.astype("float64").numpy() for t in (x, y, dy, g))
        scale = size * np.linalg.norm(x) * np.linalg.norm(dy)
        assert abs((y * dy).sum() - (x * g).sum()) <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    rng = np.random.default_rng(5)
    taps = paddle.to_tensor(rng.standard_normal([2, 5]))
    x = rng.standard_normal([2, 1, 6, 5])
    check_retain_graph(lambda t: image_filter(t, taps, impl=impl) ** 2, x)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str) -> None:
    rng = np.random.default_rng(6)
    x, taps = rng.standard_normal([2, 3, 9, 10]), rng.standard_normal([2, 5])
    y = image_filter(HARD_LAYOUTS[layout](x), paddle.to_tensor(taps), impl=impl)
    np.testing.assert_array_equal(y.numpy(), run(x, taps, impl))


@pytest.mark.parametrize("impl", IMPLS)
def test_no_samples(impl: str) -> None:
    x = paddle.zeros([0, 3, 4, 4])
    assert image_filter(x, paddle.zeros([0, 3], "float64"), impl=impl).shape == [0, 3, 4, 4]


TAPS = paddle.to_tensor([[1.0, 2.0, 1.0]], "float64")
BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`images` is a ndarray", {"images": np.zeros([1, 1, 4, 4])}),
    (ValueError, r"`images` has shape \[4, 4\]", {"images": paddle.zeros([4, 4])}),
    (TypeError, "`taps` is a list", {"taps": [[1.0]]}),
    (TypeError, "`taps` is .*float32; .* float64", {"taps": TAPS.astype("float32")}),
    (ValueError, r"`taps` has shape \[3\]", {"taps": TAPS[0]}),
    (ValueError, r"`taps` has shape \[2, 3\]; .*\[1, 3\]", {"taps": TAPS.tile([2, 1])}),
    (ValueError, r"`taps` has shape \[1, 2\]; .* odd", {"taps": TAPS[:, :2]}),
    (ValueError, r"`taps` has shape \[1, 0\]; .* odd", {"taps": paddle.zeros([1, 0], "float64")}),
    (ValueError, "`taps` holds numbers that are not finite", {"taps": TAPS * float("inf")}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {"images": paddle.zeros([1, 1, 4, 4]), "taps": TAPS, "impl": "native"}
    with pytest.raises(error, match=message) as caught:
        image_filter(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.image_filter: ")
