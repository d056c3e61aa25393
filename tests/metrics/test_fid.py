"""The Fréchet distance against scipy's matrix root, closed forms and other projects' values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from features import blobs, digits

from pygan.errors import InputError
from pygan.metrics.fid import fid, frechet_distance
from pygan.metrics.statistics import FeatureCollector, Moments, statistics_of


def oracle(real: np.ndarray, fake: np.ndarray, ddof: int) -> float:
    """The formula as printed, with the matrix root of a general matrix."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    c1, c2 = (np.cov(x, rowvar=False, ddof=ddof) for x in (real, fake))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    step = real.mean(axis=0) - fake.mean(axis=0)
    return float(step @ step + np.trace(c1 + c2 - 2 * root))


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 12), (65, 70, 64), (500, 41, 40), (9, 9, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_samples_than_dimensions(n: int, m: int, d: int, ddof: int, dtype: type) -> None:
    real, fake = blobs(n, d, seed=1).astype(dtype), blobs(m, d, seed=2).astype(dtype)
    assert fid(real=real, fake=fake, ddof=ddof) == pytest.approx(oracle(real, fake, ddof), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (40, 7), (2, 30), (30, 300)])
def test_fewer_samples_than_dimensions(n: int, m: int) -> None:
    """Against the covariances' own eigenvectors, in extended precision where it matters."""
    real, fake = blobs(n, 60, seed=1), blobs(m, 60, seed=2)
    c1, c2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    values, vectors = np.linalg.eigh(c1)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c2 @ root), 0, None)).sum()
    step = real.mean(axis=0) - fake.mean(axis=0)
    expected = step @ step + np.trace(c1) + np.trace(c2) - 2 * roots
    assert fid(real=real, fake=fake) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(30, 64), (64, 64), (65, 64), (400, 64)])
def test_of_a_set_and_itself(n: int, d: int) -> None:
    x = blobs(n, d, seed=3)
    scale = np.trace(np.cov(x, rowvar=False))
    assert abs(fid(real=x, fake=x)) < 1e-9 * scale
    assert abs(fid(real=x, fake=x[::-1])) < 1e-9 * scale


def test_translation() -> None:
    x, step = blobs(300, 20, seed=4), np.linspace(-1, 2, 20)
    assert fid(real=x, fake=x + step) == pytest.approx(step @ step, rel=1e-9)


def test_diagonal_covariances() -> None:
    random = np.random.RandomState(0)
    a, b = random.rand(2048) + 0.1, random.rand(2048) + 0.1
    step = random.randn(2048) * 0.1
    value = frechet_distance(np.zeros(256), np.diag(a[:256]), step[:256], np.diag(b[:256]))
    first = np.square(np.sqrt(a[:256]) - np.sqrt(b[:256])).sum() + step[:256] @ step[:256]
    assert value == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("dead", [1, 5])
def test_features_that_never_change(dead: int) -> None:
    """A unit that is always 0 makes the covariance singular with any number of samples."""
    real, fake = blobs(200, 16, seed=5), blobs(200, 16, seed=6)
    alive = fid(real=real, fake=fake)
    wide = [np.concatenate([x, np.zeros([200, dead])], axis=1) for x in (real, fake)]
    assert fid(real=wide[0], fake=wide[1]) == pytest.approx(alive, rel=1e-9)
    # ... and so does one that repeats others, where rounding hides it from Cholesky.
    turned = [np.concatenate([x, x[:, :dead] * 0.7], axis=1) for x in (real, fake)]
    widened = [np.concatenate([x[:, :dead] * np.sqrt(1.49), x[:, dead:]], 1) for x in (real, fake)]
    expected = fid(real=widened[0], fake=widened[1])
    assert fid(real=turned[0], fake=turned[1]) == pytest.approx(expected, rel=1e-7)


def test_a_wide_spectrum_needs_singular_values() -> None:
    """Variances from 1 to 1e-20: eigenvalues of the product would be noise from 1e-16 down."""
    scale = np.logspace(0, -10, 40)
    x, y = np.random.RandomState(0).randn(2, 500, 40) * scale
    assert abs(fid(real=x, fake=x)) < 1e-13
    cov = [np.cov(v, rowvar=False) for v in (x, y)]
    step = x.mean(axis=0) - y.mean(axis=0)
    factors = [np.linalg.cholesky(c) for c in cov]
    roots = scipy.linalg.svdvals(factors[0].T @ factors[1]).sum()
    expected = step @ step + np.trace(cov[0] + cov[1]) - 2 * roots
    assert fid(real=x, fake=y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("ddof", "other", "expected"),
    [
        (1, "half", 18.0543534944987),  # these two to forty digits, with mpmath
        (1, "class", 534.565816235634),
        (0, "half", 18.0357011),
        (0, "class", 534.1075545),
    ],
)
def test_golden_values_of_digits(ddof: int, other: str, expected: float) -> None:
    """torch-fidelity 0.4.0; with ddof 0, the covariance as NVIDIA has it."""
    fake, real = digits(other)
    assert fid(real=real, fake=fake, ddof=ddof) == pytest.approx(expected, rel=1e-8)


def test_golden_value_of_blobs() -> None:
    """torch-fidelity 0.4.0 on the same arrays."""
    fake, real = blobs(700, 32, seed=10), blobs(600, 32, seed=11)
    assert fid(real=real, fake=fake) == pytest.approx(0.6868294573635936, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(50, 80), (2500, 6)])
@pytest.mark.parametrize("keep", [True, False])
def test_collected_in_batches(n: int, d: int, keep: bool) -> None:
    x, y = blobs(n, d, seed=7).astype(np.float32), blobs(70, d, seed=8)
    expected = fid(real=x, fake=y)
    found = set()
    for batch in (1, 7, 64, n):
        collector = FeatureCollector(keep=keep)
        for start in range(0, n, batch):
            collector.add(x[start : start + batch])
        statistics = collector.result()
        assert statistics.count == n
        assert (statistics.features is not None) == (keep or n <= d)
        found.add(fid(real=statistics, fake=y))
    assert len(found) == 1  # to the last bit
    assert found.pop() == pytest.approx(expected, rel=1e-12)


def test_a_large_mean_costs_no_digits() -> None:
    x = np.random.RandomState(0).randn(3000, 5) + 1e6
    np.testing.assert_allclose(
        statistics_of(x).covariance(), np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9
    )


def test_moments_go_on_after_a_result() -> None:
    x = blobs(1500, 4, seed=9)
    moments = Moments(4)
    moments.add(x[:1100])
    np.testing.assert_allclose(moments.result().covariance(), np.cov(x[:1100], rowvar=False))
    moments.add(x[1100:])
    np.testing.assert_allclose(moments.result().covariance(), np.cov(x, rowvar=False))


def test_bad_input() -> None:
    x = blobs(10, 3)
    with pytest.raises(InputError, match="ddof must be 0 or 1, got 2"):
        fid(real=x, fake=x, ddof=2)
    with pytest.raises(InputError, match="same extractor; they have 3 and 4 features"):
        fid(real=x, fake=blobs(10, 4))
    with pytest.raises(InputError, match="fake: a covariance needs at least 2 samples, got 1"):
        fid(real=x, fake=x[:1])
    with pytest.raises(InputError, match="real: the features of sample 4 are not finite"):
        fid(real=np.where(np.arange(10)[:, None] == 4, np.nan, x), fake=x)
    with pytest.raises(InputError, match=r"real: features must be numbers \[N, d\], got"):
        fid(real=x[0], fake=x)
    with pytest.raises(InputError, match="fake: at least 1 samples"):
        fid(real=x, fake=x[:0])
    with pytest.raises(InputError, match=r"covariance2: must be \[3, 3\]"):
        frechet_distance(np.zeros(3), np.eye(3), np.zeros(3), np.eye(4))
    with pytest.raises(InputError, match="no image was given"):
        FeatureCollector().result()
