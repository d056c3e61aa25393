"""Precision and recall of generated images.

Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models":
the manifold of a set is the union of balls around its features, each reaching to the k-th nearest
neighbour. Precision is the share of generated images within the manifold of the real ones, recall
the share of real images within that of the generated ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import ROWS, feature_matrix, ranges, same_dimension

# |x|^2 + |y|^2 - 2 x.y cannot be told from 0 below this many units of rounding.
_ROUNDING = 16 * np.finfo(np.float64).eps


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1."""

    precision: float
    recall: float


def precision_recall(*, real: Any, fake: Any, k: int = 3, block: int = 4096) -> PrecisionRecall:
    """Precision and recall of features.

    Args:
        real: features [N, d] of real images.
        fake: features [M, d] of generated images.
        k: neighbours, the point itself not counted.
        block: rows and columns of distances in memory at a time: 8 * block^2 bytes each.

    Raises:
        InputError: not more than k samples, other dimensions, values that are not finite.
    """
    if k < 1 or block < 1:
        raise InputError(f"k and block must be at least 1, got {k} and {block}")
    x, y = feature_matrix(real, "real", k + 1), feature_matrix(fake, "fake", k + 1)
    same_dimension(x, y)
    centre = _centre(x)
    reals, fakes = _Points(x, centre), _Points(y, centre)
    real_radii = _squared_radii(reals, k, block)
    fake_radii = _squared_radii(fakes, k, block)
    real_covered, fake_covered = np.zeros(len(x), bool), np.zeros(len(y), bool)
    for rows in ranges(len(x), block):
        points = reals[rows]
        for columns in ranges(len(y), block):
            distances = _squared_distances(points, fakes[columns])
            fake_covered[columns] |= (distances <= real_radii[rows, None]).any(axis=0)
            real_covered[rows] |= (distances <= fake_radii[columns]).any(axis=1)
    return PrecisionRecall(float(fake_covered.mean()), float(real_covered.mean()))


def _centre(x: np.ndarray) -> np.ndarray:
    """About the mean [d] of x: there, the expansion of a squared distance loses fewer digits.

    It is a multiple of a power of two about as large as the deviation, so that whole numbers stay
    exact, and with them the ties between distances and radii.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    spread = float(np.abs(x[:ROWS] - mean).max())
    grid = 2.0 ** np.floor(np.log2(spread)) if spread > 0 else 1.0
    return np.rint(mean / grid) * grid


class _Points:
    """Samples less their centre, in float64; a block of them at a time is in memory."""

    def __init__(self, values: np.ndarray, centre: np.ndarray) -> None:
        self._values = values
        self._centre = centre

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._values[rows] - self._centre


def _squared_radii(x: _Points, k: int, block: int) -> np.ndarray:
    """Squared distance [N] to the k-th nearest other sample."""
    nearest = np.full((len(x), k + 1), np.inf)  # the sample itself is one of them
    blocks = list(ranges(len(x), block))
    for i, rows in enumerate(blocks):
        points = x[rows]
        for columns in blocks[i:]:
            distances = _squared_distances(points, x[columns])
            if rows == columns:
                np.fill_diagonal(distances, 0)
            else:  # distances are symmetric: the block below the diagonal need not be computed
                _keep_nearest(nearest, columns, distances.T, k)
            _keep_nearest(nearest, rows, distances, k)
    return nearest.max(axis=1)


def _keep_nearest(nearest: np.ndarray, rows: slice, distances: np.ndarray, k: int) -> None:
    candidates = np.concatenate([nearest[rows], distances], axis=1)
    candidates.partition(k, axis=1)
    nearest[rows] = candidates[:, : k + 1]


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N, M]; what rounding hides is 0, so that equal samples are at distance 0."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    distances = x @ y.T
    distances *= -2
    distances += squares
    squares *= _ROUNDING
    distances[distances < squares] = 0
    return distances
