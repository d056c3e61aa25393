"""What the tests of the operators on label maps share: their definitions in numpy, and maps."""

from __future__ import annotations

from typing import Optional

import numpy as np

IMPLS = ["native", "ref"]
DTYPES = ["float64", "float32", "float16", "bfloat16"]
# Largest error relative to the largest number: of sums in float32, then of one rounding.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 1.1e-3, "bfloat16": 9e-3}


def label_conv_oracle(
    labels: np.ndarray,
    weight: np.ndarray,
    bias: Optional[np.ndarray] = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """The definition, pixel by pixel and tap by tap, in float64."""
    n, height, width = labels.shape
    co, _, kh, kw = weight.shape
    oh = (height + 2 * padding[0] - kh) // stride[0] + 1
    ow = (width + 2 * padding[1] - kw) // stride[1] + 1
    y = np.zeros([n, co, oh, ow])
    for sample, i, j, u, v in np.ndindex(n, oh, ow, kh, kw):
        row, column = i * stride[0] + u - padding[0], j * stride[1] + v - padding[1]
        if 0 <= row < height and 0 <= column < width and labels[sample, row, column] >= 0:
            y[sample, :, i, j] += weight[:, labels[sample, row, column], u, v]
    return y if bias is None else y + bias[:, None, None]


def label_conv_gradient_oracle(
    labels: np.ndarray,
    dy: np.ndarray,
    weight_shape: tuple[int, ...],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """What every column of the weight has contributed to, added up."""
    height, width = labels.shape[1:]
    dw = np.zeros(weight_shape)
    for sample, i, j, u, v in np.ndindex(len(labels), *dy.shape[2:], *weight_shape[2:]):
        row, column = i * stride[0] + u - padding[0], j * stride[1] + v - padding[1]
        if 0 <= row < height and 0 <= column < width and labels[sample, row, column] >= 0:
            dw[:, labels[sample, row, column], u, v] += dy[sample, :, i, j]
    return dw


def instance_mean_oracle(x: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Instance by instance, in float64."""
    y = np.zeros(x.shape)
    for sample, ids in enumerate(instances):
        for one in set(ids.reshape(-1).tolist()):
            where = ids == one
            y[sample][:, where] = x[sample][:, where].mean(axis=1, keepdims=True)
    return y


def instance_edges_oracle(instances: np.ndarray) -> np.ndarray:
    """Pixel by pixel."""
    n, height, width = instances.shape
    y = np.zeros([n, 1, height, width], np.float32)
    for sample, i, j in np.ndindex(n, height, width):
        for u, v in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            inside = 0 <= u < height and 0 <= v < width
            if inside and instances[sample, i, j] != instances[sample, u, v]:
                y[sample, 0, i, j] = 1
    return y


def blobs(rng: np.random.Generator, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Labels as maps have them: regions, in which runs of a row are equal, and single pixels."""
    n, height, width = shape
    small = rng.integers(0, count, [n, -(-height // 4), -(-width // 7)])
    labels = small.repeat(4, 1).repeat(7, 2)[:, :height, :width]
    stray = rng.random(shape) < 0.1
    return np.where(stray, rng.integers(-1, count, shape), labels)
