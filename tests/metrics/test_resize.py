"""Ways of resizing against loops over pixels, scipy and Pillow."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from pygan.metrics.extractors.resize import METHODS, resize, resize_matrix

SIZES = [(13, 7, 11), (5, 16, 16), (40, 1, 9), (31, 32, 8), (1, 1, 3), (64, 48, 23)]


def images(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, [2, 3, height, width]).astype(np.float32)


def got(x: np.ndarray, size: int, method: str) -> np.ndarray:
    return resize(paddle.to_tensor(x), size, method).numpy()


def tf1(x: np.ndarray, size: int) -> np.ndarray:
    """TensorFlow 1's kernel (resize_bilinear_op.cc, legacy scaler), pixel by pixel."""
    height, width = x.shape[2:]
    y = np.zeros([*x.shape[:2], size, size])
    for i in range(size):
        for j in range(size):
            v, u = i * height / size, j * width / size
            top, left = int(v), int(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = x[..., top, left] + (x[..., top, right] - x[..., top, left]) * (u - left)
            lower = x[..., bottom, left] + (x[..., bottom, right] - x[..., bottom, left]) * (
                u - left
            )
            y[..., i, j] = upper + (lower - upper) * (v - top)
    return y


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_tf1_bilinear(height: int, width: int, size: int) -> None:
    x = images(height, width)
    np.testing.assert_allclose(got(x, size, "tf1-bilinear"), tf1(x, size), rtol=1e-5, atol=1e-3)


def test_tf1_bilinear_finds_places_in_float32() -> None:
    """A ramp tells the places: TensorFlow multiplies rounded numbers."""
    source, target = 1000, 299
    scale = np.float32(source) / np.float32(target)
    want = [float(np.float32(i) * scale) for i in range(target)]
    got = resize_matrix(source, target, "tf1-bilinear") @ np.arange(source)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    assert np.abs(got - np.arange(target) * (source / target)).max() > 1e-5


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_bilinear(height: int, width: int, size: int) -> None:
    """Pixel centres agree, and the border is repeated."""
    x = images(height, width)
    places = [(np.arange(size) + 0.5) * n / size - 0.5 for n in (height, width)]
    grid = np.meshgrid(*places, indexing="ij")
    want = [[map_coordinates(c, grid, order=1, mode="nearest") for c in image] for image in x]
    np.testing.assert_allclose(got(x, size, "bilinear"), want, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_bicubic_is_pillows(height: int, width: int, size: int) -> None:
    x = images(height, width)
    want = [
        [np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in im]
        for im in x
    ]
    np.testing.assert_allclose(got(x, size, "bicubic"), np.clip(want, 0, 255), rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_itself_changes_nothing(method: str) -> None:
    x = images(8, 8)
    np.testing.assert_array_equal(got(x, 8, method), x)
    np.testing.assert_allclose(resize_matrix(8, 8, method), np.eye(8), atol=1e-12)


def test_methods_differ_and_unknown_ones_are_refused() -> None:
    x = images(9, 9)
    results = [got(x, 6, method) for method in METHODS]
    assert all(np.abs(results[i] - results[i - 1]).max() > 5 for i in range(3))
    with pytest.raises(ValueError, match="choose from: tf1-bilinear, bilinear, bicubic"):
        got(x, 6, "lanczos")
