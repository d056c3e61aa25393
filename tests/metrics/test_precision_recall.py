"""Precision and recall against a search over all pairs, and other projects' values."""

from __future__ import annotations

import numpy as np
import pytest
from features import blobs, digits
from scipy.spatial.distance import cdist

from pygan.errors import InputError
from pygan.metrics.precision_recall import precision_recall


def brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """All distances at once, and a full sort."""

    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.sort(cdist(centres, centres), axis=1)[:, k]
        return float((cdist(points, centres) <= radii).any(axis=1).mean())

    return covered(fake, real), covered(real, fake)


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
@pytest.mark.parametrize(("n", "m", "d", "k"), [(60, 47, 3, 3), (40, 200, 10, 1), (5, 4, 2, 3)])
def test_against_all_pairs(n: int, m: int, d: int, k: int, block: int) -> None:
    real, fake = blobs(n, d, seed=1), blobs(m, d, seed=2) * 1.2
    found = precision_recall(real=real, fake=fake, k=k, block=block)
    assert found == brute_force(real, fake, k)


def test_float32_far_from_the_origin() -> None:
    """The expansion of the square would lose all digits there."""
    offset = np.float32(4096)
    real, fake = (blobs(80, 6, seed=s).astype(np.float32) + offset for s in (1, 2))
    expected = brute_force(real.astype(np.float64), fake.astype(np.float64), 3)
    assert precision_recall(real=real, fake=fake) == expected


@pytest.mark.parametrize("offset", [0, 3.25, 1000])
def test_ties_of_whole_numbers(offset: float) -> None:
    """A distance that equals a radius counts, and rounding must not decide."""
    real, fake = np.random.RandomState(0).randint(0, 3, (2, 300, 6))

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.square(a[:, None] - b).sum(axis=2)

    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.sort(squares(centres, centres), axis=1)[:, 3]
        return float((squares(points, centres) <= radii).any(axis=1).mean())

    found = precision_recall(real=real + offset, fake=fake + offset)
    assert found == (covered(fake, real), covered(real, fake))


def test_sets_that_are_known() -> None:
    x = blobs(50, 4, seed=1)
    assert precision_recall(real=x, fake=x) == (1.0, 1.0)
    assert precision_recall(real=x, fake=x + 1000) == (0.0, 0.0)
    # One mode of two: all that is generated is real, half of what is real is generated.
    modes = np.concatenate([x, x + 1000])
    assert precision_recall(real=modes, fake=x) == (1.0, 0.5)
    assert precision_recall(real=x, fake=modes) == (0.5, 1.0)


def test_repeated_samples_have_radius_zero() -> None:
    x = np.repeat(blobs(5, 3, seed=1), 4, axis=0)
    assert precision_recall(real=x, fake=x, k=3) == (1.0, 1.0)
    assert precision_recall(real=x, fake=x + 1e-3, k=3) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [("half", (0.8932147, 0.8942093)), ("class", (0.0998890, 0.0725446))],
)
def test_golden_values_of_digits(other: str, expected: tuple[float, float]) -> None:
    """torch-fidelity 0.4.0."""
    fake, real = digits(other)
    found = precision_recall(real=real, fake=fake)
    assert found == pytest.approx(expected, abs=1e-6)


def test_golden_value_of_blobs() -> None:
    """torch-fidelity 0.4.0 on the same arrays."""
    fake, real = blobs(700, 32, seed=10), blobs(600, 32, seed=11)
    found = precision_recall(real=real, fake=fake)
    assert found == pytest.approx((0.7814285755, 0.8266666532), abs=1e-6)


def test_bad_input() -> None:
    x = blobs(10, 3)
    with pytest.raises(InputError, match="at least 4 samples are needed, got 3"):
        precision_recall(real=x, fake=x[:3])
    with pytest.raises(InputError, match="k and block must be at least 1, got 0"):
        precision_recall(real=x, fake=x, k=0)
    with pytest.raises(InputError, match="same extractor"):
        precision_recall(real=x, fake=blobs(10, 4))
