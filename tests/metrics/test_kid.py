"""The kernel distance against its definition, term by term, and other projects' values."""

from __future__ import annotations

import numpy as np
import pytest
from features import blobs, digits

from pygan.errors import InputError
from pygan.metrics.kid import kid


def brute_force(real: np.ndarray, fake: np.ndarray) -> float:
    """Equation 4 of Binkowski et al. 2018, as loops over pairs."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    m, n = len(real), len(fake)
    within = sum(k(real[i], real[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    among = sum(k(fake[i], fake[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    across = sum(k(a, b) for a in real for b in fake) / (m * n)
    return within + among - 2 * across


@pytest.mark.parametrize(("count", "dim"), [(2, 1), (13, 5), (25, 40)])
def test_against_the_definition(count: int, dim: int) -> None:
    real, fake = blobs(count, dim, seed=1), blobs(count, dim, seed=2) * 1.5
    result = kid(real=real, fake=fake, subsets=3)
    assert result.subset_size == count
    assert result.mean == pytest.approx(brute_force(real, fake), rel=1e-10)
    assert result.std == pytest.approx(0, abs=1e-12)  # every subset is the whole set


def test_mean_and_deviation_of_subsets() -> None:
    real, fake = blobs(30, 4, seed=1), blobs(41, 4, seed=2)
    result = kid(real=real, fake=fake, subsets=6, subset_size=9, seed=5)
    random = np.random.RandomState(5)
    values = []
    for _ in range(6):
        some = fake[random.choice(41, 9, replace=False)]
        values.append(brute_force(real[random.choice(30, 9, replace=False)], some))
    assert result.mean == pytest.approx(np.mean(values), rel=1e-9)
    assert result.std == pytest.approx(np.std(values), rel=1e-9)
    assert kid(real=real, fake=fake, subsets=6, subset_size=9, seed=6).mean != result.mean


@pytest.mark.parametrize(
    ("other", "mean", "std"),
    [("half", -107.0770477, 114.88709), ("class", 14401.32521, 542.34035)],
)
def test_golden_values_of_digits(other: str, mean: float, std: float) -> None:
    """torch-fidelity 0.4.0 on float64 features."""
    fake, real = digits(other)
    result = kid(real=real, fake=fake, subset_size=500)
    assert result.mean == pytest.approx(mean, rel=1e-9)
    assert result.std == pytest.approx(std, rel=1e-7)


def test_golden_value_of_blobs() -> None:
    """torch-fidelity 0.4.0 on the same arrays."""
    fake, real = blobs(700, 32, seed=10), blobs(600, 32, seed=11)
    result = kid(real=real, fake=fake, subsets=50, subset_size=200)
    assert result.mean == pytest.approx(0.03518834979451265, rel=1e-10)
    assert result.std == pytest.approx(0.009268413765143873, rel=1e-9)


def test_float32_features_are_computed_in_float64() -> None:
    real, fake = (blobs(60, 8, seed=s).astype(np.float32) * 100 for s in (1, 2))
    wide = kid(real=real.astype(np.float64), fake=fake.astype(np.float64), subset_size=50)
    assert kid(real=real, fake=fake, subset_size=50) == wide


def test_halves_of_one_set_are_close() -> None:
    x = blobs(600, 8, seed=3)
    same = kid(real=x[::2], fake=x[1::2], subsets=1)
    other = kid(real=x[::2], fake=x[1::2] + 1, subsets=1)
    assert abs(same.mean) < 0.02 < other.mean


def test_subset_size() -> None:
    real, fake = blobs(1200, 2, seed=1), blobs(1100, 2, seed=2)
    assert kid(real=real, fake=fake, subsets=1).subset_size == 1000
    assert kid(real=real, fake=fake[:90], subsets=1).subset_size == 90
    with pytest.raises(InputError, match=r"subset_size: 1000 .*, 1200 real and 90 fake"):
        kid(real=real, fake=fake[:90], subset_size=1000)
    with pytest.raises(InputError, match="subsets >= 1 of size >= 2, got 0"):
        kid(real=real, fake=fake, subsets=0)
    with pytest.raises(InputError, match="size >= 2, got 100 of 1"):
        kid(real=real, fake=fake, subset_size=1)
    with pytest.raises(InputError, match="fake: at least 2 samples"):
        kid(real=real, fake=fake[:1])
    with pytest.raises(InputError, match="same extractor"):
        kid(real=real, fake=blobs(20, 3))
