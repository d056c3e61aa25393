"""Mean and covariance of features, accumulated in float64.

Sums of ``x`` and ``x x^T`` lose digits where the mean is large beside the deviation. Here each
block of rows is centred on its own mean and merged by the pairwise update of Chan, Golub and
LeVeque 1983, "Algorithms for computing the sample variance". Blocks have a fixed size, whatever the
batches: the result does not depend on how the samples were batched, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import feature_matrix

BLOCK = 1024
"""Rows per update: the product of a block costs more than adding it to the d x d scatter."""


@dataclass(frozen=True)
class FeatureStatistics:
    """What the Fréchet distance and its kin need of a set of features.

    Attributes:
        count: samples N.
        mean: float64 [d].
        scatter: sum over the samples of (x - mean)(x - mean)^T, float64 [d, d]; None where the
            features tell it more exactly and for less (N <= d).
        features: [N, d], or None where they were not kept.
    """

    count: int
    mean: np.ndarray
    scatter: Optional[np.ndarray] = None
    features: Optional[np.ndarray] = None

    @property
    def dim(self) -> int:
        """Features per sample."""
        return len(self.mean)

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """Covariance [d, d], the scatter over ``N - ddof``."""
        scatter = self.scatter
        if scatter is None:
            centred = self.centred()
            scatter = centred.T @ centred
        return scatter / (self.count - ddof)

    def centred(self) -> np.ndarray:
        """The features less their mean, float64 [N, d]."""
        if self.features is None:
            raise InputError("the features were not kept; only mean and covariance are there")
        return self.features.astype(np.float64) - self.mean

    def require_features(self, metric: str) -> np.ndarray:
        """The features, for metrics that need more than moments."""
        if self.features is None:
            raise InputError(f"{metric} needs the features of every image, not only their moments")
        return self.features


class FeatureCollector:
    """Collects features batch by batch.

    Args:
        keep: keep all features. Otherwise only the moments are kept once there are more samples
            than dimensions, and memory stays at d x d numbers.
    """

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._rows: list[np.ndarray] = []  # not in the moments yet, or all of them if kept
        self._count = 0
        self._moments: Optional[Moments] = None

    def add(self, features: np.ndarray) -> None:
        """Adds features [n, d]; float32 is kept as float32."""
        array = np.asarray(features)
        if array.ndim != 2 or (self._rows and array.shape[1] != self._rows[0].shape[1]):
            raise InputError(f"features must be [n, d] with the same d, got {list(array.shape)}")
        self._rows.append(np.array(array))
        self._count += len(array)
        if not self._keep and (self._moments is not None or self._count > array.shape[1]):
            if self._moments is None:
                self._moments = Moments(array.shape[1])
            for rows in self._rows:
                self._moments.add(rows)
            self._rows = [array[:0]]

    def result(self) -> FeatureStatistics:
        """The statistics of all features so far."""
        if self._moments is not None:
            return self._moments.result()
        if not self._count:
            raise InputError("there are no features: no image was given")
        return statistics_of(np.concatenate(self._rows))


class Moments:
    """Running mean and scatter of rows; see the module.

    Args:
        dim: length of a row.
    """

    def __init__(self, dim: int) -> None:
        self._block = np.empty((BLOCK, dim), dtype=np.float64)
        self._filled = 0
        self._count = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))

    def add(self, rows: np.ndarray) -> None:
        """Adds rows [n, d]."""
        start = 0
        while start < len(rows):
            part = rows[start : start + BLOCK - self._filled]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            start += len(part)
            if self._filled == BLOCK:
                self._merge(self._block)
                self._filled = 0

    def result(self) -> FeatureStatistics:
        """Statistics of the rows so far. More rows may follow."""
        if self._count + self._filled == 0:
            raise InputError("there are no features: no image was given")
        saved = self._count, self._mean, self._scatter
        self._scatter = self._scatter.copy()
        if self._filled:
            self._merge(self._block[: self._filled])
        result = FeatureStatistics(self._count, self._mean, self._scatter)
        self._count, self._mean, self._scatter = saved
        return result

    def _merge(self, block: np.ndarray) -> None:
        mean = block.mean(axis=0)
        centred = block - mean
        step = mean - self._mean
        total = self._count + len(block)
        self._scatter += centred.T @ centred
        weight = self._count * len(block) / total
        if weight:
            self._scatter += np.outer(step * weight, step)
        self._mean = self._mean + step * (len(block) / total)
        self._count = total


def statistics_of(features: Any) -> FeatureStatistics:
    """Statistics of features [N, d] that are all there; they are kept.

    Raises:
        InputError: no samples, or values that are not finite.
    """
    array = feature_matrix(features, "features")
    if len(array) <= array.shape[1]:
        return FeatureStatistics(len(array), array.mean(axis=0, dtype=np.float64), None, array)
    moments = Moments(array.shape[1])
    moments.add(array)
    result = moments.result()
    return FeatureStatistics(result.count, result.mean, result.scatter, array)


Features = Union[np.ndarray, FeatureStatistics, Sequence[Sequence[float]]]


def as_statistics(values: Any, name: str) -> FeatureStatistics:
    """Statistics of an array of features; statistics pass through.

    Raises:
        InputError: not features, or values that are not finite.
    """
    if isinstance(values, FeatureStatistics):
        held = values.mean if values.features is None else values.features
        if not np.isfinite(held).all():
            raise InputError(f"{name}: the features are not finite")
        return values
    return statistics_of(feature_matrix(values, name))
