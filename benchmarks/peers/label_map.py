"""A label map as every competitor is given it: regions of equal labels, as segmentations have."""

from __future__ import annotations

import numpy as np


def draw(batch: int, size: int, labels: int, noise: bool = False) -> np.ndarray:
    """int32 [batch, size, size]: some dozens of regions, or every pixel at random."""
    rng = np.random.default_rng(0)
    if noise:
        return rng.integers(0, labels, [batch, size, size], dtype=np.int32)
    # The nearest of 40 seeds, whose label the pixel takes.
    place = np.arange(size, dtype=np.float32)
    maps = []
    for _ in range(batch):
        y, x = rng.uniform(0, size, [2, 40, 1, 1]).astype(np.float32)
        nearest = ((place[:, None] - y) ** 2 + (place - x) ** 2).argmin(0)
        maps.append(rng.integers(0, labels, 40, dtype=np.int32)[nearest])
    return np.stack(maps)
