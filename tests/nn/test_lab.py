"""CIE L*a*b* against published values of colours and the formulas written for single pixels."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from pygan.nn.lab import lab_to_rgb, rgb_to_lab

# sRGB of 0 ... 255 and its L*a*b* for D65, as colour tables print them.
COLOURS = [
    ((0, 0, 0), (0.0, 0.0, 0.0)),
    ((255, 255, 255), (100.0, 0.0, 0.0)),
    ((255, 0, 0), (53.24, 80.09, 67.20)),
    ((0, 255, 0), (87.74, -86.18, 83.18)),
    ((0, 0, 255), (32.30, 79.19, -107.86)),
    ((119, 119, 119), (50.03, 0.0, 0.0)),
    ((3, 3, 3), (0.82, 0.0, 0.0)),
]


def pixel(rgb):
    """The formulas as CIE 15 has them, with X, Y, Z of 0 ... 100."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    r, g, b = linear
    x = 41.24564 * r + 35.75761 * g + 18.04375 * b
    y = 21.26729 * r + 71.51522 * g + 7.21750 * b
    z = 1.93339 * r + 11.91920 * g + 95.03041 * b

    def f(t):
        return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116

    fx, fy, fz = f(x / 95.0470), f(y / 100.0), f(z / 108.8830)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize(("rgb", "lab"), COLOURS)
def test_known_colours(rgb, lab):
    image = np.array(rgb).reshape(1, 3, 1, 1) / 127.5 - 1
    found = rgb_to_lab(paddle.to_tensor(image)).numpy().ravel()
    np.testing.assert_allclose(found, lab, atol=0.02)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-3), ("float32", 2e-3)])
def test_formula_and_inverse(dtype, tolerance):
    rng = np.random.default_rng(0)
    rgb = rng.random((2, 3, 5, 4)) ** 3  # many dark ones, near the knees
    images = paddle.to_tensor((rgb * 2 - 1).astype(dtype))
    lab = rgb_to_lab(images)
    expected = np.apply_along_axis(pixel, 1, rgb)
    np.testing.assert_allclose(lab.numpy(), expected, atol=tolerance)
    np.testing.assert_allclose(lab_to_rgb(lab).numpy(), images.numpy(), atol=tolerance / 100)


def test_colours_beyond_srgb_are_limited():
    lab = paddle.to_tensor(np.array([[50.0, 120.0, -120.0], [110.0, 0, 0], [-5.0, 0, 0]]))
    rgb = lab_to_rgb(lab.reshape([3, 3, 1, 1])).numpy()
    assert np.isfinite(rgb).all()
    assert np.abs(rgb).max() <= 1 + 1e-12
    np.testing.assert_allclose(rgb[1], 1)
    np.testing.assert_allclose(rgb[2], -1)


def test_all_pixels_survive_a_round_trip():
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), 0).reshape(1, 3, -1, 1)
    images = paddle.to_tensor((grid / 127.5 - 1).astype(np.float32))
    back = np.rint((lab_to_rgb(rgb_to_lab(images)).numpy() + 1) * 127.5)
    np.testing.assert_array_equal(back, grid)
