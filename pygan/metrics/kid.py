"""Kernel inception distance.

Bińkowski et al. 2018, "Demystifying MMD GANs", section 3.1: the squared maximum mean discrepancy
with the kernel ``k(x, y) = (x.y / d + 1)^3``, by its unbiased estimate, averaged over subsets.
Unlike FID its expectation does not depend on the number of images, so it is the better choice for
small sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import feature_matrix, same_dimension


class Kid(NamedTuple):
    """Mean over the subsets, their standard deviation, and the size of a subset."""

    mean: float
    std: float
    subset_size: int


def kid(
    *,
    real: Any,
    fake: Any,
    subsets: int = 100,
    subset_size: Optional[int] = None,
    seed: int = 2020,
) -> Kid:
    """Kernel distance of features.

    Args:
        real: features [N, d] of real images.
        fake: features [M, d] of generated images.
        subsets: number of subsets.
        subset_size: images drawn without replacement per subset; None for 1000, or all of the
            smaller set where it has fewer, as in StyleGAN2-ADA. The value depends little on it, its
            deviation does.
        seed: of the choice of subsets. They are those of torch-fidelity with the same seed: fake
            first, then real, by ``RandomState(seed).choice``.

    Returns:
        Not multiplied by 1000. The mean may be negative, as the estimate is unbiased.

    Raises:
        InputError: a subset size beyond N or M, fewer than two samples, other dimensions, values
            that are not finite.
    """
    if subsets < 1 or (subset_size is not None and subset_size < 2):
        raise InputError(f"KID needs subsets >= 1 of size >= 2, got {subsets} of {subset_size}")
    x, y = feature_matrix(fake, "fake", 2), feature_matrix(real, "real", 2)
    same_dimension(y, x)
    size = min(1000, len(x), len(y)) if subset_size is None else subset_size
    if size > min(len(x), len(y)):
        raise InputError(
            f"subset_size: {size} is more than there are images, {len(y)} real and {len(x)} fake; "
            "choose a smaller one or None"
        )
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        some_x = x[random.choice(len(x), size, replace=False)].astype(np.float64)
        some_y = y[random.choice(len(y), size, replace=False)].astype(np.float64)
        values.append(_squared_mmd(some_x, some_y))
    return Kid(float(np.mean(values)), float(np.std(values)), size)


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD^2 of as many x as y."""
    count = len(x)
    within = sum(float(k.sum() - np.trace(k)) for k in (_kernel(x, x), _kernel(y, y)))
    return within / (count * (count - 1)) - 2 * float(_kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    k = x @ y.T
    k /= x.shape[1]
    k += 1
    return k * k * k
