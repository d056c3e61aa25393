"""Fréchet distance between two sets of features.

Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
equilibrium", section 5: ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))``. With the features
of the Inception network of 2015 it is the FID.

The root is never formed. For factors ``C1 = A A^T`` and ``C2 = B B^T``, the eigenvalues of ``C1
C2`` are those of the symmetric ``A^T C2 A``, and the squared singular values of ``A^T B``; the
trace is the sum of their roots. Where there are no more samples than dimensions, the factor is the
centred features themselves: an N1 x N2 matrix and an exact result, where ``C1 C2`` is singular and
finding its root loses four digits and takes minutes. Otherwise it is the Cholesky factor or, of a
singular covariance, its eigenvectors times the roots of the eigenvalues, those that rounding made
negative counted as 0.

Eigenvalues take two thirds of the time of singular values, but one of size L is only known to ``eps
* Lmax``, hence its root to ``eps * Lmax / (2 L^(1/2))``. Where that adds up to digits that count,
the singular values are taken, whose error is ``eps`` of the largest, however small they are.

All of it is float64.
"""

from __future__ import annotations

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import feature_matrix, same_dimension
from pygan.metrics.statistics import Features, FeatureStatistics, as_statistics

_EPS = float(np.finfo(np.float64).eps)
_ACCURACY = 1e-9  # of the trace of the root, that its eigenvalues must promise


def fid(*, real: Features, fake: Features, ddof: int = 1) -> float:
    """Fréchet distance of features.

    Args:
        real: features [N, d] of real images, or their statistics.
        fake: features [M, d] of generated images, or their statistics.
        ddof: the covariance is the scatter over ``N - ddof``: 1 as in most implementations
            (``np.cov``), 0 as in NVIDIA's. The latter is a little smaller: 0.1 % at N = 900.

    Raises:
        InputError: fewer than ``ddof + 1`` samples, other dimensions, values that are not finite.
    """
    if ddof not in (0, 1):
        raise InputError(f"ddof must be 0 or 1, got {ddof!r}")
    first, second = as_statistics(real, "real"), as_statistics(fake, "fake")
    same_dimension(first.mean, second.mean)
    for name, statistics in (("real", first), ("fake", second)):
        if statistics.count <= ddof:
            raise InputError(
                f"{name}: a covariance needs at least {ddof + 1} samples, got {statistics.count}"
            )
    traces = _trace(first, ddof) + _trace(second, ddof)
    root = _trace_of_root(_factor(first, ddof), _factor(second, ddof))
    return _distance(first.mean, second.mean, traces, root)


def frechet_distance(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """Fréchet distance of two normal distributions, from stored means [d] and covariances [d, d].

    Raises:
        InputError: shapes that do not fit, values that are not finite.
    """
    means, covariances = [], []
    for number, (mean, covariance) in enumerate(((mean1, covariance1), (mean2, covariance2)), 1):
        vector = feature_matrix(np.reshape(mean, (1, -1)), f"mean{number}")[0]
        matrix = feature_matrix(covariance, f"covariance{number}")
        if matrix.shape != (len(vector), len(vector)):
            raise InputError(
                f"covariance{number}: must be [{len(vector)}, {len(vector)}] as the mean has "
                f"{len(vector)} values, got {list(matrix.shape)}"
            )
        means.append(vector)
        covariances.append(matrix)
    same_dimension(means[0], means[1])
    root = _trace_of_root(_square_factor(covariances[0]), _square_factor(covariances[1]))
    return _distance(means[0], means[1], sum(float(np.trace(c)) for c in covariances), root)


def _distance(mean1: np.ndarray, mean2: np.ndarray, traces: float, root: float) -> float:
    step = mean1 - mean2
    return float(step @ step) + traces - 2 * root


def _trace(statistics: FeatureStatistics, ddof: int) -> float:
    if statistics.scatter is not None:
        scatter = float(np.trace(statistics.scatter))
    else:
        scatter = float(np.square(statistics.centred()).sum())
    return scatter / (statistics.count - ddof)


def _factor(statistics: FeatureStatistics, ddof: int) -> np.ndarray:
    """A [d, r] with A A^T the covariance."""
    if statistics.features is not None and statistics.count <= statistics.dim:
        return statistics.centred().T / np.sqrt(float(statistics.count - ddof))
    return _square_factor(statistics.covariance(ddof))


def _square_factor(covariance: np.ndarray) -> np.ndarray:
    """A [d, r] with A A^T the covariance."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        # Rounding makes something of eigenvalues that are 0, and its root would count.
        kept = values > len(values) * _EPS * max(float(values[-1]), 0.0)
        return vectors[:, kept] * np.sqrt(values[kept])


def _trace_of_root(factor1: np.ndarray, factor2: np.ndarray) -> float:
    """Trace of (A A^T B B^T)^(1/2)."""
    cross = factor1.T @ factor2  # A^T B
    if not cross.size:
        return 0.0
    if cross.shape[0] == cross.shape[1] == len(factor1):
        values = np.linalg.eigvalsh(cross @ cross.T)
        largest = max(float(values[-1]), np.finfo(np.float64).tiny)
        roots = np.sqrt(np.maximum(values, 0.0))
        noise = _EPS * largest
        error = np.where(values > noise, noise / np.maximum(roots, np.sqrt(noise)), np.sqrt(noise))
        if error.sum() < _ACCURACY * roots.sum():
            return float(roots.sum())
    return float(np.linalg.svd(cross, compute_uv=False).sum())
