"""What the tests of the operators of augmentation share: their definitions in numpy and scipy."""

from __future__ import annotations

from typing import Optional

import numpy as np
from scipy import ndimage, signal

IMPLS = ["native", "ref"]
DTYPES = ["float64", "float32", "float16", "bfloat16"]
# Largest error relative to the largest number: of sums in the type, then of one rounding (one
# truncation in the reference on Paddle 2, whose casts do not round).
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 1.1e-3, "bfloat16": 9e-3}
SHAPES = [(2, 3, 16, 16), (3, 1, 7, 19), (1, 4, 21, 6), (2, 2, 1, 9), (2, 2, 2, 1), (1, 1, 1, 1)]

# Daubechies' symlet of 6 vanishing moments, from the published table, scaled by 1 / sqrt(2).
SYMLET = np.array([
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
]) / np.sqrt(2)  # fmt: skip


def continued(x: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """The last two axes, continued by reflection as often as it takes."""

    def index(size: int, before: int, after: int) -> np.ndarray:
        if size == 1:
            return np.zeros(before + 1 + after, dtype=int)
        place, last = np.arange(-before, size + after), size - 1
        return np.abs((place + last) % (2 * last) - last)

    h, w = x.shape[-2:]
    return x[..., index(h, top, bottom)[:, None], index(w, left, right)]


def warp_oracle(x: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The filtered definition in float64, whatever the matrices: no branch for exact ones."""
    return np.stack([_warp_one(image, m.reshape(2, 3)) for image, m in zip(x, matrices)])


def _warp_one(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    _, h, w = x.shape
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    qx, qy = np.meshgrid(np.arange(-5, 2 * w + 5), np.arange(-5, 2 * h + 5))
    points = np.stack([qx / 2 - centre[0], qy / 2 - centre[1]], -1) @ matrix[:, :2].T
    points = 2 * (points + matrix[:, 2] + centre)  # in pixels of u, x first
    low = np.floor(points.min((0, 1)) / 2).astype(int) - 8
    high = np.ceil(points.max((0, 1)) / 2).astype(int) + 8
    left, top = np.maximum(-low, 0) + 1
    right, bottom = np.maximum(high - [w, h], 0) + 1
    wide = continued(x, top, bottom, left, right)
    zeros = np.zeros([x.shape[0], 2 * wide.shape[1], 2 * wide.shape[2]])
    zeros[:, ::2, ::2] = wide
    f = SYMLET / SYMLET.sum()
    kernel = np.outer(f, f)
    result = np.empty_like(x)
    for channel, plane in enumerate(zeros):
        u = 4 * signal.convolve2d(plane, kernel)[5:, 5:]  # u[o] = 2 sum f[o + 5 - 2 i] x[i]
        at = [points[..., 1] + 2 * top, points[..., 0] + 2 * left]
        z = ndimage.map_coordinates(u, at, order=1, mode="nearest")
        result[channel] = signal.correlate2d(z, kernel, "valid")[::2, ::2][:h, :w]
    return result


def color_oracle(
    x: np.ndarray, rows: np.ndarray, noise: Optional[np.ndarray] = None, linear: bool = False
) -> np.ndarray:
    """The definition pixel by pixel, in float64."""
    y = x.copy()
    for n, row in enumerate(rows):
        k = 3 if len(row) == 17 else 1
        matrix, offset = row[: k * k].reshape(k, k), row[k * k : k * k + k]
        sigma, x0, x1, y0, y1 = row[k * k + k :]
        y[n, :k] = np.einsum("cd,dij->cij", matrix, x[n, :k])
        if not linear:
            y[n, :k] += offset[:, None, None]
            y[n, :k] += 0 if noise is None else sigma * noise[n]
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                if x0 <= j < x1 and y0 <= i < y1:
                    y[n, :k, i, j] = 0
    return y


def filter_oracle(x: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The definition in float64, by scipy's convolution."""
    r = taps.shape[1] // 2
    wide = continued(x, r, r, r, r)
    return np.stack(
        [
            [signal.correlate2d(plane, np.outer(f, f), "valid") for plane in image]
            for image, f in zip(wide, taps)
        ]
    )


def random_matrices(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of rotations, scales and shifts as augmentation draws them, and a little wilder."""
    n, _, h, w = shape
    angle, stretch = rng.uniform(-np.pi, np.pi, n), np.exp2(0.4 * rng.standard_normal([n, 2]))
    c, s = np.cos(angle), np.sin(angle)
    sx, sy = stretch.T
    tx, ty = rng.standard_normal([2, n]) * [[w], [h]] * 0.3
    return np.stack([c * sx, -s * sy, tx, s * sx, c * sy, ty], 1)


def random_rows(rng: np.random.Generator, shape: tuple[int, ...], colors: int) -> np.ndarray:
    n, _, h, w = shape
    numbers = rng.standard_normal([n, colors * colors + colors + 1])
    ends = [np.sort(rng.integers(-1, size + 2, [n, 2]), 1) for size in (w, h)]
    return np.concatenate([numbers, *ends], 1)
