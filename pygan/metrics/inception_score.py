"""Inception score.

Salimans et al. 2016, "Improved techniques for training GANs", section 4:
``exp(E_x KL(p(y|x) || p(y)))``, by splits of the images, with their mean and deviation.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import feature_matrix


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the splits."""

    mean: float
    std: float


def inception_score(
    *, logits: Any, splits: int = 10, shuffle_seed: Optional[int] = 2020
) -> InceptionScore:
    """Inception score of class logits.

    Args:
        logits: [N, classes], before the softmax, in float64 from here on.
        splits: parts that the score is computed of.
        shuffle_seed: order of the images, by ``RandomState(seed)`` as torch-fidelity has it; None
            keeps their order, as NVIDIA's code does.

    Raises:
        InputError: fewer images than splits, or values that are not finite.
    """
    if splits < 1:
        raise InputError(f"splits must be at least 1, got {splits}")
    values = feature_matrix(logits, "logits")
    count = len(values)
    if count < splits:
        raise InputError(
            f"the inception score in {splits} splits needs at least {splits} images, got {count}; "
            "give more images or fewer splits"
        )
    if shuffle_seed is not None:
        values = values[np.random.RandomState(shuffle_seed).permutation(count)]
    values = values.astype(np.float64)
    shifted = values - values.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    scores = []
    for i in range(splits):
        part = log_p[i * count // splits : (i + 1) * count // splits]
        p = np.exp(part)
        mean = p.mean(axis=0, keepdims=True)
        # 0 log 0 = 0: a class that no image of the split has at all.
        log_mean = np.log(np.where(mean > 0, mean, 1.0))
        divergence = (p * (part - log_mean)).sum(axis=1).mean()
        scores.append(np.exp(divergence))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
