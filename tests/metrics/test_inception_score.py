"""The inception score against its definition, known cases and other projects' values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from pygan.errors import InputError
from pygan.metrics.inception_score import inception_score


def logits(count: int = 1000, classes: int = 10) -> np.ndarray:
    return np.random.RandomState(0).randn(count, classes).astype(np.float32) * 2


@pytest.mark.parametrize(("count", "splits"), [(103, 10), (7, 7), (50, 1)])
def test_against_the_definition(count: int, splits: int) -> None:
    x = logits(count)
    p = scipy.special.softmax(x.astype(np.float64), axis=1)
    scores = []
    for i in range(splits):
        part = p[i * count // splits : (i + 1) * count // splits]
        divergence = scipy.stats.entropy(part, part.mean(axis=0, keepdims=True), axis=1)
        scores.append(np.exp(divergence.mean()))
    found = inception_score(logits=x, splits=splits, shuffle_seed=None)
    assert found.mean == pytest.approx(np.mean(scores), rel=1e-10)
    assert found.std == pytest.approx(np.std(scores), rel=1e-9, abs=1e-12)


def test_sets_that_are_known() -> None:
    same = inception_score(logits=np.ones([100, 10]))
    assert same == pytest.approx((1.0, 0.0), abs=1e-12)
    classes = 1e4 * np.eye(10)[np.arange(1000) % 10]  # sure of each, in every split
    assert inception_score(logits=classes, shuffle_seed=None) == pytest.approx((10, 0), abs=1e-9)


def test_golden_values() -> None:
    """torch-fidelity 0.4.0; the mean of the softmax is float64 in both."""
    x = logits()
    shuffled = inception_score(logits=x)
    assert shuffled.mean == pytest.approx(2.6149253221106656, rel=1e-10)
    assert shuffled.std == pytest.approx(0.07997657616384728, rel=1e-9)
    kept = inception_score(logits=x, shuffle_seed=None)
    assert kept == pytest.approx((2.6208123, 0.1149052), abs=1e-7)
    assert inception_score(logits=x, splits=1).mean == pytest.approx(2.6441550, abs=1e-7)


def test_huge_logits_do_not_overflow() -> None:
    found = inception_score(logits=logits(100) * 1e30)
    assert 1 <= found.mean <= 10


def test_bad_input() -> None:
    with pytest.raises(InputError, match="10 splits needs at least 10 images, got 9"):
        inception_score(logits=logits(9))
    with pytest.raises(InputError, match="splits must be at least 1, got 0"):
        inception_score(logits=logits(9), splits=0)
