"""upfirdn2d against scipy: native and reference, all types."""

from __future__ import annotations

from typing import Union

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upfirdn2d_cases import IMPLS, TAPS, TOLERANCE, Case, is_legal, oracle, random_case

from pygan.ops import setup_filter, upfirdn2d

pytestmark = pytest.mark.usefixtures("needs_native")


@pytest.mark.parametrize("impl", IMPLS)
def test_equals_scipy_in_float64(impl: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        case = random_case(rng)
        x = rng.standard_normal(case.shape)
        y = case.run(paddle.to_tensor(x), impl).numpy()
        expected = oracle(x, case)
        assert y.shape == expected.shape, case
        assert np.abs(y - expected).max() <= 1e-12 * max(1.0, case.scale(x)), case


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_scipy_in_other_types(dtype: str, impl: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        case = random_case(rng)
        x = paddle.to_tensor(rng.standard_normal(case.shape)).astype(dtype)
        y = case.run(x, impl)
        assert y.dtype == x.dtype
        x64 = x.astype("float64").numpy()
        error = np.abs(y.astype("float64").numpy() - oracle(x64, case)).max()
        assert error <= TOLERANCE[dtype] * case.scale(x64), case


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """float32 numbers rounded to nearest, ties to even, in a 16-bit type; as float32."""
    if dtype == "float16":
        return x.astype(np.float16).astype(np.float32)
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_types_are_filtered_in_float32(dtype: str) -> None:
    rng = np.random.default_rng(2)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 19, 37])).astype(dtype)
    f = rng.standard_normal(12)
    for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
        wide = upfirdn2d(x.astype("float32"), f, up, down, 6, impl="native").numpy()
        y = upfirdn2d(x, f, up, down, 6, impl="native")
        np.testing.assert_array_equal(y.astype("float32").numpy(), rounded(wide, dtype))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, int]:
    small = st.integers(1, 5)
    width = st.one_of(st.integers(1, 9), st.integers(1, 150))
    separable = draw(st.booleans())
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    size: Union[int, tuple[int, int]] = (
        draw(st.integers(1, 32)) if separable else (draw(small), draw(small))
    )
    padding = draw(st.lists(st.integers(-6, 40), min_size=4, max_size=4))
    case = Case(
        (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(width)),
        rng.standard_normal(size),
        draw(st.lists(small, min_size=2, max_size=2)),
        draw(st.lists(small, min_size=2, max_size=2)),
        padding,
        draw(st.booleans()),
        draw(st.floats(0.125, 8)),
    )
    return case, seed


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_any_legal_call_equals_scipy(drawn: tuple[Case, int]) -> None:
    case, seed = drawn
    if not is_legal(case):
        return
    x = np.random.default_rng(seed).standard_normal(case.shape)
    y = case.run(paddle.to_tensor(x), "native").numpy()
    np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-12 * max(1, case.scale(x)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 9), (1, 1, 9, 1), (3, 1, 2, 2)])
def test_tiny_images(shape: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    for up, down in ((1, 1), (2, 1), (1, 2), (4, 3)):
        case = Case(shape, TAPS, [up] * 2, [down] * 2, [3, 2, 2, 3], False, 1.0)
        y = case.run(paddle.to_tensor(x), "native").numpy()
        np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-12 * case.scale(x))


def test_large_padding_and_crops_that_leave_no_pixel() -> None:
    x = paddle.ones([1, 2, 3, 3])
    y = upfirdn2d(x, setup_filter(TAPS), padding=[1000, 0, 0, 500], impl="native")
    assert y.shape == [1, 2, 500, 1000]
    assert y.numpy()[:, :, :, :997].max() == 0
    assert y.numpy().max() > 0
    # The crop on the left takes all the pixels, the padding on the right makes up for them.
    for impl in IMPLS:
        y = upfirdn2d(x, setup_filter(TAPS), padding=[-5, 9, -5, 9], impl=impl)
        assert y.shape == [1, 2, 4, 4]
        assert not y.numpy().any()


def test_infinities_stay_where_the_filter_puts_them() -> None:
    x = np.zeros([1, 1, 9, 40], np.float32)
    x[0, 0, 4, 20] = np.inf
    y = upfirdn2d(paddle.to_tensor(x), setup_filter(TAPS), padding=[2, 1, 2, 1], impl="native")
    rows, columns = np.nonzero(~np.isfinite(y.numpy()[0, 0]))
    assert set(rows) == {3, 4, 5, 6}
    assert set(columns) == {19, 20, 21, 22}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outer_products_are_run_separably_within_rounding(dtype: str) -> None:
    rng = np.random.default_rng(4)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 20, 33]).astype(dtype))
    for f in (TAPS / 8, rng.standard_normal(6)):
        a = upfirdn2d(x, f, 2, 1, 4, impl="native").numpy()
        b = upfirdn2d(x, np.outer(f, f), 2, 1, 4, impl="native").numpy()
        eps = np.finfo(dtype).eps
        assert np.abs(a - b).max() <= 16 * eps * np.abs(f).sum() ** 2 * np.abs(x.numpy()).max()


def test_almost_separable_filters_keep_their_difference() -> None:
    f = np.outer(TAPS, TAPS)
    f[1, 2] += 1e-9
    x = np.random.default_rng(5).standard_normal([1, 1, 8, 8])
    case = Case(x.shape, f, [1, 1], [1, 1], [0, 0, 0, 0], False, 1.0)
    y = case.run(paddle.to_tensor(x), "native").numpy()
    np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-13 * case.scale(x))
