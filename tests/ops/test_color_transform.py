"""color_transform: native and reference, against numpy and finite differences."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
import pytest
from augment_cases import DTYPES, IMPLS, TOLERANCE, color_oracle, random_rows

from pygan.ops import color_transform
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")

IDENTITY = {1: [1.0, 0, 0, 0, 0, 0, 0], 3: [1.0, 0, 0, 0, 1, 0, 0, 0, 1, *[0.0] * 8]}
SHAPES = [(3, 3, 8, 9), (2, 1, 5, 33), (2, 4, 17, 3), (2, 5, 1, 1), (1, 3, 64, 70)]


def cases(shape: tuple[int, ...]) -> list[int]:
    return [1, 3] if shape[1] >= 3 else [1]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_numpy(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(0)
    for colors in cases(shape):
        for with_noise in (False, True):
            x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
            rows = random_rows(rng, shape, colors)
            noise: Optional[paddle.Tensor] = None
            if with_noise:
                noise = rng.standard_normal([shape[0], colors, *shape[2:]])
                noise = paddle.to_tensor(noise).astype(dtype)
            y = color_transform(x, paddle.to_tensor(rows), noise, impl=impl)
            assert y.dtype == x.dtype
            wide = x.astype("float64").numpy()
            more = None if noise is None else noise.astype("float64").numpy()
            expected = color_oracle(wide, rows, more)
            error = np.abs(y.astype("float64").numpy() - expected).max()
            assert error <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())
            assert (y.astype("float64").numpy()[expected == 0] == 0).all()
            others = y.astype("float64").numpy()[:, colors:]
            np.testing.assert_array_equal(others, wide[:, colors:])


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("colors", [1, 3])
def test_rows_that_change_nothing(colors: int, impl: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal([2, 3, 6, 7])
    rows = paddle.to_tensor([IDENTITY[colors]] * 2, "float64")
    noise = paddle.to_tensor(rng.standard_normal([2, colors, 6, 7]))
    for n in (None, noise):
        y = color_transform(paddle.to_tensor(x), rows, n, impl=impl)
        np.testing.assert_array_equal(y.numpy(), x)


@pytest.mark.parametrize("impl", IMPLS)
def test_cut_outs_beyond_the_borders(impl: str) -> None:
    x = np.random.default_rng(2).standard_normal([6, 1, 4, 5])
    ends = [[-9, 99, -9, 99], [3, 3, 0, 4], [4, 2, 0, 4], [-3, 2, 1, 1e300], [5, 9, 0, 4]]
    rows = np.array([[1.0, 0, 0, *e] for e in [*ends, [-1e18, 1e18, -2, 1]]])
    y = color_transform(paddle.to_tensor(x), paddle.to_tensor(rows), impl=impl)
    np.testing.assert_array_equal(y.numpy(), color_oracle(x, rows))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_first_and_second_derivatives(shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(3)
    for colors in cases(shape):
        rows = random_rows(rng, shape, colors)
        rows[-1] = IDENTITY[colors]
        r = paddle.to_tensor(rows)
        noise = paddle.to_tensor(rng.standard_normal([shape[0], colors, *shape[2:]]))
        x = rng.standard_normal(shape)
        for n in (None, noise):
            check_gradients(
                lambda t, r=r, n=n: color_transform(t, r, n, impl=impl), x, names=["images"]
            )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_the_transpose(dtype: str, impl: str) -> None:
    rng = np.random.default_rng(4)
    shape = (2, 4, 9, 21)
    for colors in (1, 3):
        rows = random_rows(rng, shape, colors)
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        dy = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        x.stop_gradient = False
        y = color_transform(x, paddle.to_tensor(rows), impl=impl)
        (g,) = paddle.grad([y], [x], grad_outputs=[dy])
        assert g.dtype == x.dtype
        assert g.shape == x.shape
        wide, dy, g = (t.astype("float64").numpy() for t in (x, dy, g))
        linear = color_oracle(wide, rows, linear=True)
        scale = np.linalg.norm(linear) * np.linalg.norm(dy)
        assert abs((linear * dy).sum() - (wide * g).sum()) <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    rng = np.random.default_rng(5)
    rows = paddle.to_tensor(random_rows(rng, (2, 3, 4, 5), 3))
    x = rng.standard_normal([2, 3, 4, 5])
    check_retain_graph(lambda t: color_transform(t, rows, impl=impl) ** 2, x)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str) -> None:
    rng = np.random.default_rng(6)
    shape = (2, 3, 5, 18)
    x, rows = rng.standard_normal(shape), random_rows(rng, shape, 3)
    noise = rng.standard_normal(shape)
    view = HARD_LAYOUTS[layout]
    y = color_transform(view(x), paddle.to_tensor(rows), view(noise), impl=impl)
    np.testing.assert_allclose(y.numpy(), color_oracle(x, rows, noise), rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
def test_noise_of_another_type(impl: str) -> None:
    rng = np.random.default_rng(7)
    shape = (2, 3, 5, 6)
    x, rows, noise = rng.standard_normal(shape), random_rows(rng, shape, 3), np.ones(shape)
    tensor = paddle.to_tensor(noise, "float32")
    y = color_transform(paddle.to_tensor(x), paddle.to_tensor(rows), tensor, impl=impl)
    np.testing.assert_allclose(y.numpy(), color_oracle(x, rows, noise), rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
def test_no_samples(impl: str) -> None:
    x = paddle.zeros([0, 3, 4, 4])
    assert color_transform(x, paddle.zeros([0, 17], "float64"), impl=impl).shape == [0, 3, 4, 4]


ROWS = paddle.to_tensor([IDENTITY[3]], "float64")
BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`images` is a ndarray", {"images": np.zeros([1, 3, 4, 4])}),
    (ValueError, r"`images` has shape \[3, 4\]", {"images": paddle.zeros([3, 4])}),
    (ValueError, r"`images` .*at least 3 channels", {"images": paddle.zeros([1, 2, 4, 4])}),
    (TypeError, "`rows` is a list", {"rows": [IDENTITY[3]]}),
    (TypeError, "`rows` is .*float16; .* float64", {"rows": ROWS.astype("float16")}),
    (ValueError, r"`rows` has shape \[1, 9\]; .* 7 numbers", {"rows": ROWS[:, :9]}),
    (ValueError, r"`rows` has shape \[3, 17\]; .*\[1, 17\]", {"rows": ROWS.tile([3, 1])}),
    (ValueError, "`rows` holds numbers that are not finite", {"rows": ROWS * float("nan")}),
    (TypeError, "`noise` is a float", {"noise": 0.5}),
    (ValueError, r"`noise` has shape \[1, 1, 4, 4\]", {"noise": paddle.zeros([1, 1, 4, 4])}),
    (
        ValueError,
        "`noise` requires a gradient",
        {"noise": paddle.to_tensor(np.zeros([1, 3, 4, 4]), stop_gradient=False)},
    ),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {"images": paddle.zeros([1, 3, 4, 4]), "rows": ROWS, "impl": "native"}
    with pytest.raises(error, match=message) as caught:
        color_transform(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.color_transform: ")
