"""Linear separability of a latent space.

Karras et al. 2019, "A style-based generator architecture for generative adversarial networks",
section 4.2: for each attribute, a classifier labels generated images, the half of them that it is
surest of is kept, a linear SVM predicts the label from the latent code alone, and the conditional
entropy H(label | prediction) tells how far the attribute is from a direction of the space. The
score is ``2^(sum of H over the attributes)``, H in bits, as the published values are computed (the
paper prints exp): 1 if planes separate all of them, at most ``2^attributes``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import feature_matrix
from pygan.metrics.linear_svm import fit_linear_svm


class Separability(NamedTuple):
    """The score, and the conditional entropy [attributes] in bits that it is made of."""

    score: float
    entropies: np.ndarray


def linear_separability(*, codes: Any, logits: Any, keep: float = 0.5) -> Separability:
    """Linear separability of codes by attributes of their images.

    Args:
        codes: latent codes [N, d].
        logits: [N, attributes]: of each attribute a number that is positive where the classifier
            sees it, and the larger in magnitude the surer it is.
        keep: share of the images that is kept per attribute, the surest ones.

    Raises:
        InputError: shapes that do not fit, values that are not finite, ``keep`` not from (0, 1].
    """
    x, scores = feature_matrix(codes, "codes", 2), feature_matrix(logits, "logits", 2)
    if len(x) != len(scores):
        raise InputError(
            f"codes and logits must be of the same images, got {len(x)} and {len(scores)}"
        )
    if not 0 < keep <= 1:
        raise InputError(f"keep: must be from above 0 to 1, got {keep}")
    count = max(round(len(x) * keep), 2)
    entropies = np.zeros(scores.shape[1])
    for attribute, column in enumerate(scores.T):
        # A stable sort: of equally sure ones, the first. The order of magnitudes is that of the
        # probabilities, softmax([l, -l]), which round to 1 from l = 19 on.
        surest = np.sort(np.argsort(-np.abs(column), kind="stable")[:count])
        labels = column[surest] > 0
        if labels.all() or not labels.any():
            continue  # nothing is uncertain
        predicted = fit_linear_svm(x[surest], labels).decide(x[surest]) > 0
        entropies[attribute] = conditional_entropy(labels, predicted)
    return Separability(float(2 ** entropies.sum()), entropies)


def conditional_entropy(labels: Any, given: Any) -> float:
    """H(labels | given) in bits, of two bool arrays [N]."""
    y, x = np.asarray(labels, dtype=bool), np.asarray(given, dtype=bool)
    if y.shape != x.shape or y.ndim != 1 or not len(y):
        raise InputError(f"labels and given must be [N], got {list(y.shape)} and {list(x.shape)}")
    total = 0.0
    for value in (False, True):
        chosen = y[x == value]
        if len(chosen):
            share = float(chosen.mean())
            for p in (share, 1 - share):
                total -= len(chosen) / len(y) * (p * np.log2(p) if p > 0 else 0.0)
    return float(total)
