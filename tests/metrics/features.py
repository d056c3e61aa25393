"""Features to compare."""

from __future__ import annotations

import numpy as np
import pytest


def blobs(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Correlated, skewed features [count, dim], the same from every version of numpy."""
    random = np.random.RandomState(seed)
    mixing = np.random.RandomState(dim).randn(dim, dim) / np.sqrt(dim)
    x = random.randn(count, dim) @ mixing
    return np.maximum(x, -0.5) + 0.1 * (seed % 5)


def digits(other: str) -> tuple[np.ndarray, np.ndarray]:
    """(fake, real): halves or classes of the 1,797 handwritten digits of scikit-learn."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    if other == "half":
        return x[::2], x[1::2]
    return x[y < 5], x[y >= 5]
