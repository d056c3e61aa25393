"""How images reach the size that a network wants: part of the definition of every metric.

FID changes by tens of per cent with the filter (Parmar et al., "On Aliased Resizing and Surprising
Subtleties in GAN Evaluation", CVPR 2022), so that each extractor fixes one of

tf1-bilinear
    TensorFlow 1's ``resize_bilinear``: output pixel i lies at i · in/out, between its two
    neighbours, without antialiasing. What the FID of Heusel et al. (2017) is defined with.
bilinear
    As PyTorch's ``interpolate(align_corners=False)``: output pixel i lies at (i + ½) · in/out − ½,
    without antialiasing.
bicubic
    Pillow's bicubic (a = −½) in floating point, its support stretched when shrinking, and the
    result limited to 0..255: "clean" resizing.

All are separable and linear: two matrices of weights per size, made in float64.
"""

from __future__ import annotations

import functools
from typing import Callable

import numpy as np
import paddle

METHODS = ("tf1-bilinear", "bilinear", "bicubic")


def resize(images: paddle.Tensor, size: int, method: str) -> paddle.Tensor:
    """Images [N, C, H, W] at size × size; differentiable. The size itself changes nothing.

    Args:
        images: float32, 0..255.
        size: height and width wanted.
        method: one of ``METHODS``.
    """
    height, width = images.shape[2:]
    if width != size:
        weights = paddle.to_tensor(resize_matrix(width, size, method).T.astype(np.float32))
        images = paddle.matmul(images, weights)
    if height != size:
        weights = paddle.to_tensor(resize_matrix(height, size, method).astype(np.float32))
        images = paddle.matmul(weights, images)
    overshoots = method == "bicubic" and (height, width) != (size, size)
    return paddle.clip(images, 0.0, 255.0) if overshoots else images


@functools.lru_cache(maxsize=32)
def resize_matrix(source: int, target: int, method: str) -> np.ndarray:
    """Weights [target, source] in float64 of the pixels along one axis; each row sums to 1."""
    try:
        weigh = _WEIGHTS[method]
    except KeyError:
        raise ValueError(f"resize: {method!r}; choose from: {', '.join(METHODS)}") from None
    matrix = weigh(source, target)
    matrix.flags.writeable = False
    return matrix


def _lerp(places: np.ndarray, source: int) -> np.ndarray:
    """Linear interpolation at `places`, with the border repeated."""
    below = np.floor(places)
    fraction = places - below
    first = np.clip(below, 0, source - 1).astype(int)
    second = np.clip(below + 1, 0, source - 1).astype(int)
    matrix = np.zeros((len(places), source))
    rows = np.arange(len(places))
    np.add.at(matrix, (rows, first), 1 - fraction)
    np.add.at(matrix, (rows, second), fraction)
    return matrix


def _tf1_bilinear(source: int, target: int) -> np.ndarray:
    # TensorFlow finds the places in float32; exact ones would move a feature by up to 1e-5.
    scale = np.float32(source) / np.float32(target)
    return _lerp((np.arange(target, dtype=np.float32) * scale).astype(np.float64), source)


def _bilinear(source: int, target: int) -> np.ndarray:
    places = (np.arange(target) + 0.5) * (source / target) - 0.5
    return _lerp(np.maximum(places, 0.0), source)


def _bicubic(source: int, target: int) -> np.ndarray:
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    support = 2.0 * stretch
    # As Pillow bounds its windows: pixels whose index lies within the support of the centre.
    first = np.maximum((centres - support + 0.5).astype(int), 0)
    last = np.minimum((centres + support + 0.5).astype(int), source)
    pixels = np.arange(source)
    inside = (pixels >= first[:, None]) & (pixels < last[:, None])
    weights = _cubic((pixels + 0.5 - centres[:, None]) / stretch) * inside
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = −½."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_WEIGHTS: dict[str, Callable[[int, int], np.ndarray]] = {
    "tf1-bilinear": _tf1_bilinear,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
}
