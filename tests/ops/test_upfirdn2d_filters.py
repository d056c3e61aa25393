"""Filters, and the functions that resample with them: filter2d, upsample2d, downsample2d."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from upfirdn2d_cases import IMPLS, TAPS

from pygan.ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

pytestmark = pytest.mark.usefixtures("needs_native")


def test_setup_filter() -> None:
    np.testing.assert_allclose(setup_filter(TAPS).numpy(), np.outer(TAPS, TAPS) / 64)
    np.testing.assert_array_equal(setup_filter(None).numpy(), [[1]])
    np.testing.assert_array_equal(setup_filter(3, normalize=False).numpy(), [[9]])
    long = setup_filter(np.arange(8.0))
    assert long.shape == [8]
    assert abs(long.sum().item() - 1) < 1e-6
    assert setup_filter(np.arange(8.0), separable=False).shape == [8, 8]
    assert setup_filter([1, 2, 3], separable=True).shape == [3]
    flipped = setup_filter([[1, 2], [3, 4]], normalize=False, flip_filter=True)
    np.testing.assert_array_equal(flipped.numpy(), [[4, 3], [2, 1]])
    assert abs(setup_filter(TAPS, gain=4).sum().item() - 4) < 1e-6
    assert abs(setup_filter(TAPS, gain=4, separable=True).sum().item() - 2) < 1e-6
    np.testing.assert_array_equal(setup_filter(paddle.to_tensor([1.0, 1.0])), np.full([2, 2], 0.25))
    assert setup_filter(TAPS).dtype == paddle.float32
    assert setup_filter(TAPS).stop_gradient


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 12])
def test_resampling_keeps_the_centre(taps: int, impl: str) -> None:
    """A filter is centred on its pixel as well as its length allows: to half a pixel."""
    f = setup_filter(np.ones(taps))
    pulse = np.zeros([1, 1, 30, 36])
    pulse[0, 0, 12, 17] = 1

    def centre(y: paddle.Tensor) -> list[float]:
        p = y.numpy()[0, 0]
        rows, columns = p.sum(1), p.sum(0)
        return [float(v @ np.arange(v.size) / v.sum()) for v in (rows, columns)]

    shift = 0.5 * (taps % 2 == 0)
    y = filter2d(paddle.to_tensor(pulse), f, impl=impl)
    assert y.shape == [1, 1, 30, 36]
    np.testing.assert_allclose(centre(y), [12 + shift, 17 + shift])

    shift = 0.5 * (taps % 2 == 1)
    y = upsample2d(paddle.to_tensor(pulse), f, impl=impl)
    assert y.shape == [1, 1, 60, 72]
    np.testing.assert_allclose(centre(y), [24.5 + shift, 34.5 + shift])

    ramp = np.broadcast_to(np.arange(36.0), [1, 1, 30, 36])
    y = downsample2d(paddle.to_tensor(np.ascontiguousarray(ramp)), f, impl=impl)
    assert y.shape == [1, 1, 15, 18]
    inside = y.numpy()[0, 0, 7, 5:12]
    np.testing.assert_allclose(inside, 2 * np.arange(5, 12) + 0.5 - shift, rtol=1e-6)


@pytest.mark.parametrize("impl", IMPLS)
def test_padding_formulas(impl: str) -> None:
    rng = np.random.default_rng(13)
    x = paddle.to_tensor(rng.standard_normal([1, 2, 12, 18]))
    for kh, kw in ((1, 1), (2, 3), (4, 4), (5, 2), (6, 12)):
        f = rng.standard_normal([kh, kw])
        y = filter2d(x, f, padding=[1, 0, -1, 2], gain=0.5, impl=impl)
        pad = [kw // 2 + 1, (kw - 1) // 2, kh // 2 - 1, (kh - 1) // 2 + 2]
        same = upfirdn2d(x, f, padding=pad, gain=0.5, impl=impl)
        np.testing.assert_array_equal(y.numpy(), same.numpy())
        for a, b in ((2, 2), (3, 1), (1, 4)):  # x, y
            y = upsample2d(x, f, up=[a, b], impl=impl)
            pad = [(kw + a - 1) // 2, (kw - a) // 2, (kh + b - 1) // 2, (kh - b) // 2]
            same = upfirdn2d(x, f, up=[a, b], padding=pad, gain=a * b, impl=impl)
            np.testing.assert_array_equal(y.numpy(), same.numpy())
            assert y.shape == [1, 2, 12 * b, 18 * a]
            y = downsample2d(x, f, down=[a, b], flip_filter=True, impl=impl)
            pad = [(kw - a + 1) // 2, (kw - a) // 2, (kh - b + 1) // 2, (kh - b) // 2]
            same = upfirdn2d(x, f, down=[a, b], padding=pad, flip_filter=True, impl=impl)
            np.testing.assert_array_equal(y.numpy(), same.numpy())
            assert y.shape == [1, 2, 12 // b, 18 // a]


def test_resampling_keeps_constant_images() -> None:
    x = paddle.full([1, 1, 12, 12], 3.0)
    f = setup_filter(TAPS)
    for y in (upsample2d(x, f), downsample2d(x, f), filter2d(x, f)):
        inside = y.numpy()[:, :, 3:-3, 3:-3] if y.shape[2] > 6 else y.numpy()[:, :, 2:-2, 2:-2]
        np.testing.assert_array_equal(inside, np.full_like(inside, 3.0))


def test_identity_without_a_filter() -> None:
    x = paddle.to_tensor(np.random.default_rng(14).standard_normal([2, 3, 4, 5]))
    for impl in IMPLS:
        np.testing.assert_array_equal(upfirdn2d(x, None, impl=impl).numpy(), x.numpy())
