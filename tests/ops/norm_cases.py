"""What the tests of spade_norm and norm_statistics share: their definitions in numpy."""

from __future__ import annotations

from typing import Optional

import numpy as np
import paddle

IMPLS = ["native", "ref"]
DTYPES = ["float64", "float32", "float16", "bfloat16"]
# Largest error relative to the largest number: of sums in the type, then of one rounding.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 1.1e-3, "bfloat16": 9e-3}
SHAPES = [(2, 3, 8, 8), (3, 1, 7, 19), (1, 4, 21, 6), (2, 5, 1, 9), (4, 2, 1, 1), (2, 2, 65, 70)]
# Like the shapes of networks' layers, for what only larger images show: blocks and threads.
LARGE = (2, 3, 130, 133)

SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}


def statistics_oracle(x: np.ndarray, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance in float64, by numpy's own."""
    axes = (0, 2, 3) if over == "batch" else (2, 3)
    wide = x.astype(np.float64)
    return wide.mean(axes), wide.var(axes)


def spade_oracle(
    x: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    gamma: Optional[np.ndarray] = None,
    beta: Optional[np.ndarray] = None,
    epsilon: float = 1e-5,
    slope: float = 1.0,
    upsample: int = 1,
) -> np.ndarray:
    """The definition pixel by pixel, in float64."""
    n, c, h, w = x.shape
    y = np.empty([n, c, upsample * h, upsample * w])
    for i in range(n):
        for j in range(c):
            m, v = (t[j] if t.ndim == 1 else t[i, j] for t in (mean, variance))
            normal = (x[i, j].astype(np.float64) - m) / np.sqrt(v + epsilon)
            u = np.kron(normal, np.ones([upsample, upsample]))
            for t, name in ((gamma, "gamma"), (beta, "beta")):
                if t is not None:
                    number = t[j] if t.ndim == 1 else t[i, j]
                    u = u * (1 + number) if name == "gamma" else u + number
            y[i, j] = np.where(u > 0, u, slope * u)
    return y


def tensor(array: np.ndarray, dtype: str = "float64") -> paddle.Tensor:
    return paddle.to_tensor(array).astype(dtype)


def wide(t: paddle.Tensor) -> np.ndarray:
    return np.asarray(t.astype("float64").numpy())
