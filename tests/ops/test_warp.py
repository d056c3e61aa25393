"""warp: native and reference, against scipy and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from augment_cases import DTYPES, IMPLS, SHAPES, TOLERANCE, random_matrices, warp_oracle

from pygan.ops import warp
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")

PADDLE_2 = paddle.__version__.startswith("2.")
IDENTITY = [1.0, 0, 0, 0, 1, 0]


def run(x: np.ndarray, matrices: np.ndarray, impl: str) -> np.ndarray:
    return warp(paddle.to_tensor(x), paddle.to_tensor(matrices), impl=impl).numpy()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_scipy(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        matrices = random_matrices(rng, shape)
        y = warp(x, paddle.to_tensor(matrices), impl=impl)
        assert y.dtype == x.dtype
        expected = warp_oracle(x.astype("float64").numpy(), matrices)
        error = np.abs(y.astype("float64").numpy() - expected).max()
        # float64: the published taps of scipy's side have two digits more than the header's
        tolerance = max(TOLERANCE[dtype], 1e-11)
        assert error <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    "matrix",
    [
        [3.0, 0, 40, 0, 3, -50],  # far outside: many reflections
        [30.0, 1, 2, -2, 25, 1],  # several periods of the continued image in one row
        [0.01, 0, 3.3, 0, 0.02, -2.2],  # nearly one point
        [0.0, 0, 1.25, 0, 0, 2.5],  # one point
        [1.0, 2, 0.5, 0.5, 1, 0],  # singular
        [1.0, 0, 0.5, 0, 1, 0],
        [0.0, 1, 0, 1, 0, 0.25],
        [1.0, 1e-9, 0, 0, 1, 0],  # not quite exact
    ],
    ids=str,
)
def test_equals_scipy_for_unusual_matrices(matrix: list[float], impl: str) -> None:
    x = np.random.default_rng(1).standard_normal([1, 2, 9, 14])
    matrices = np.array([matrix])
    expected = warp_oracle(x, matrices)
    np.testing.assert_allclose(run(x, matrices, impl), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("impl", IMPLS)
def test_wide_images(impl: str) -> None:
    """Larger than the tiles in which the native operator works."""
    rng = np.random.default_rng(2)
    for shape in ((1, 1, 150, 70), (2, 2, 65, 129)):
        x, matrices = rng.standard_normal(shape), random_matrices(rng, shape)
        expected = warp_oracle(x, matrices)
        np.testing.assert_allclose(run(x, matrices, impl), expected, rtol=0, atol=1e-10)


def _exact(x: np.ndarray, matrix: list[float]) -> np.ndarray:
    """By numpy's flips, turns and rolls of the continued image."""
    a = np.array(matrix).reshape(2, 3)
    y, pad = x, 40
    h, w = x.shape[-2:]
    if a[0, 0] == 0:  # x comes from y and y from x
        assert h == w
        y = np.swapaxes(y, -1, -2)
        shift = a[1, 2], a[0, 2]
        signs = a[1, 0], a[0, 1]
    else:
        shift = a[0, 2], a[1, 2]
        signs = a[0, 0], a[1, 1]
    wide = np.pad(y, [(0, 0)] * (x.ndim - 2) + [(pad, pad), (pad, pad)], mode="reflect")
    dx, dy = (int(s) for s in shift)
    wide = wide[..., pad + dy : pad + dy + h, pad + dx : pad + dx + w]
    return wide[..., :: int(signs[1]), :: int(signs[0])]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_matrices_move_pixels_to_the_bit(dtype: str, impl: str) -> None:
    rng = np.random.default_rng(3)
    for h, w in ((8, 8), (5, 9), (7, 7)):
        x = paddle.to_tensor(rng.standard_normal([1, 2, h, w])).astype(dtype)
        whole = x.astype("float64").numpy()
        for _ in range(12):
            sx, sy = (float(s) for s in rng.choice([-1, 1], 2))
            tx, ty = (float(t) for t in rng.integers(-30, 30, 2))
            upright = [sx, 0, tx, 0, sy, ty]
            turned = [0, sx, tx, sy, 0, ty]
            for matrix in [upright, turned] if h == w else [upright]:
                y = warp(x, paddle.to_tensor([matrix], "float64"), impl=impl)
                expected = _exact(whole, matrix)
                np.testing.assert_array_equal(y.astype("float64").numpy(), expected, str(matrix))


@pytest.mark.parametrize("impl", IMPLS)
def test_whole_shifts_are_the_limit_of_the_filtered_operator(impl: str) -> None:
    x = np.random.default_rng(4).standard_normal([1, 1, 12, 10])
    exact = np.array([[1.0, 0, 3, 0, 1, -2]])
    near = np.array([[1.0, 0, 3 + 1e-11, 0, 1, -2 + 1e-11]])
    np.testing.assert_allclose(run(x, near, impl), run(x, exact, impl), rtol=0, atol=1e-8)
    np.testing.assert_allclose(warp_oracle(x, exact), run(x, exact, impl), rtol=0, atol=1e-10)


@pytest.mark.parametrize("impl", IMPLS)
def test_samples_do_not_depend_on_each_other(impl: str) -> None:
    rng = np.random.default_rng(5)
    shape = (4, 3, 13, 18)
    x, matrices = rng.standard_normal(shape), random_matrices(rng, shape)
    matrices[1] = IDENTITY
    matrices[2] = [-1, 0, 4, 0, 1, 0]
    together = run(x, matrices, impl)
    for n in range(4):
        alone = run(x[n : n + 1], matrices[n : n + 1], impl)
        np.testing.assert_allclose(alone[0], together[n], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(together[1], x[1])


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(3, 2, 5, 6), (3, 1, 1, 4)], ids=str)
def test_first_and_second_derivatives(shape: tuple[int, ...], impl: str) -> None:
    second_order = impl == "native" or not PADDLE_2  # whose own gathers have only a first one
    rng = np.random.default_rng(6)
    x, matrices = rng.standard_normal(shape), random_matrices(rng, shape)
    matrices[1] = [-1, 0, 2, 0, 1, 0]
    m = paddle.to_tensor(matrices)
    check_gradients(
        lambda t: warp(t, m, impl=impl),
        x,
        names=["images"],
        samples=8,
        second_order=second_order,
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(3, 3, 20, 24), (2, 1, 3, 80), (2, 2, 140, 3)], ids=str)
def test_gradient_is_the_transpose(shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(7)
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        matrices = random_matrices(rng, shape)
        matrices[0] = [1, 0, -2, 0, -1, 1]
        if dtype == "float64":
            matrices[1, 0] = 14.5  # more than a period of the continued image
        m = paddle.to_tensor(matrices)
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        dy = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        x.stop_gradient = False
        y = warp(x, m, impl=impl)
        (g,) = paddle.grad([y], [x], grad_outputs=[dy])
        assert g.dtype == x.dtype
        assert g.shape == x.shape
        x, y, dy, g = (t.astype("float64").numpy() for t in (x, y, dy, g))
        for n in range(shape[0]):
            scale = np.linalg.norm(y[n]) * np.linalg.norm(dy[n])
            assert abs((y[n] * dy[n]).sum() - (x[n] * g[n]).sum()) <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("impl", IMPLS[:1] if PADDLE_2 else IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    rng = np.random.default_rng(8)
    m = paddle.to_tensor(random_matrices(rng, (2, 1, 6, 5)))
    check_retain_graph(lambda t: warp(t, m, impl=impl) ** 2, rng.standard_normal([2, 1, 6, 5]))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str) -> None:
    rng = np.random.default_rng(9)
    shape = (2, 3, 9, 10)
    x, matrices = rng.standard_normal(shape), random_matrices(rng, shape)
    y = warp(HARD_LAYOUTS[layout](x), paddle.to_tensor(matrices), impl=impl)
    np.testing.assert_array_equal(y.numpy(), run(x, matrices, impl))


@pytest.mark.parametrize("impl", IMPLS)
def test_no_samples(impl: str) -> None:
    x = paddle.zeros([0, 3, 4, 4])
    assert warp(x, paddle.zeros([0, 6], "float64"), impl=impl).shape == [0, 3, 4, 4]


BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`images` is a ndarray", {"images": np.zeros([1, 1, 4, 4])}),
    (TypeError, "`images` is .*int64", {"images": paddle.zeros([1, 1, 4, 4], "int64")}),
    (ValueError, r"`images` has shape \[4, 4\]", {"images": paddle.zeros([4, 4])}),
    (TypeError, "`matrices` is a list", {"matrices": [IDENTITY]}),
    (TypeError, "`matrices` is .*float32; .* float64", {"matrices": paddle.zeros([1, 6])}),
    (ValueError, r"`matrices` has shape \[6\]", {"matrices": paddle.zeros([6], "float64")}),
    (
        ValueError,
        r"`matrices` has shape \[2, 6\]; it must be \[1, 6\]",
        {"matrices": paddle.zeros([2, 6], "float64")},
    ),
    (
        ValueError,
        r"`matrices` holds numbers that are not finite, first for sample 0",
        {"matrices": paddle.full([1, 6], np.inf, "float64")},
    ),
    (
        ValueError,
        "`matrices` requires a gradient",
        {"matrices": paddle.to_tensor([IDENTITY], "float64", stop_gradient=False)},
    ),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {
        "images": paddle.zeros([1, 2, 4, 4]),
        "matrices": paddle.to_tensor([IDENTITY], "float64"),
        "impl": "native",
    }
    with pytest.raises(error, match=message) as caught:
        warp(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.warp: ")
