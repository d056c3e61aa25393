"""Features to compare."""

from __future__ import annotations

from collections.abc import Sequence

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


class TinyExtractor:
    """The means of the four quarters of each channel, and five linear functions of them."""

    name = "tiny"
    sha256 = "0" * 64

    def __init__(self) -> None:
        self.resize = "quarters"
        self.dims = {"pool": 12, "logits": 5}
        self.calls = 0

    def __call__(self, images: np.ndarray, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        self.calls += 1
        assert images.dtype == np.uint8
        assert images.shape[1] in (1, 3)
        height, width = (size // 2 for size in images.shape[2:])
        x = images[:, :, : 2 * height, : 2 * width].astype(np.float32) / 255
        x = x.reshape(len(x), x.shape[1], 2, height, 2, width).mean(axis=(3, 5))
        pool = np.repeat(x, 3 // x.shape[1], axis=1).reshape(len(x), 12)
        weights = np.random.RandomState(0).randn(12, 5).astype(np.float32)
        found = {"pool": pool, "logits": pool @ weights}
        return {name: found[name] for name in outputs}
