"""Linear separability: the SVM against other solvers, entropies against tables, known spaces."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from pygan.errors import InputError
from pygan.metrics.linear_svm import fit_linear_svm
from pygan.metrics.separability import conditional_entropy, linear_separability


def problem(count: int, dim: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    x = random.randn(count, dim) * np.linspace(0.2, 3, dim)
    return x, x @ random.randn(dim) + 0.5 + noise * random.randn(count) > 0


def objective(plane: np.ndarray, x: np.ndarray, positive: np.ndarray, c: float) -> float:
    y = np.where(positive, 1, -1)
    slack = np.maximum(0, 1 - y * (x @ plane[:-1] + plane[-1]))
    return 0.5 * plane @ plane + c * np.square(slack).sum()


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(
    ("count", "dim", "noise"), [(200, 3, 1), (40, 60, 0), (1500, 8, 3), (2, 1, 0)]
)
def test_svm_against_a_general_solver(count: int, dim: int, noise: float, c: float) -> None:
    x, positive = problem(count, dim, noise)
    if positive.all():
        positive[0] = False
    found = fit_linear_svm(x, positive, c=c)
    best = scipy.optimize.minimize(
        objective, np.zeros(dim + 1), (x, positive, c), "BFGS", options={"gtol": 1e-8}
    )
    ours = np.append(found.weight, found.bias)
    assert objective(ours, x, positive, c) <= best.fun * (1 + 1e-9)
    assert objective(ours, x, positive, c) == pytest.approx(best.fun, rel=1e-3)


def test_svm_at_the_optimum() -> None:
    """The gradient is 0, which is sufficient: the problem is strictly convex."""
    x, positive = problem(3000, 40, 2)
    found = fit_linear_svm(x.astype(np.float32), positive)
    x = x.astype(np.float32).astype(np.float64)
    y = np.where(positive, 1, -1)
    slack = np.maximum(0, 1 - y * (x @ found.weight + found.bias))
    assert np.abs(found.weight - 2 * x.T @ (slack * y)).max() < 1e-5
    assert abs(found.bias - 2 * slack @ y) < 1e-5


def test_svm_against_scikit_learn() -> None:
    svm = pytest.importorskip("sklearn.svm")
    x, positive = problem(500, 6, 1.5)
    other = svm.LinearSVC(dual=False, tol=1e-10, max_iter=10000).fit(x, positive)
    found = fit_linear_svm(x, positive)
    np.testing.assert_allclose(found.weight, other.coef_[0], rtol=1e-6)
    assert found.bias == pytest.approx(other.intercept_[0], rel=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.3, 0.0])
def test_entropy_against_a_table(share: float) -> None:
    random = np.random.RandomState(1)
    x = random.rand(400) < 0.4
    y = x ^ (random.rand(400) < share)
    joint = np.array([[np.sum(~x & ~y), np.sum(~x & y)], [np.sum(x & ~y), np.sum(x & y)]]) / 400
    of_x = scipy.stats.entropy(joint.sum(axis=1), base=2)
    expected = scipy.stats.entropy(joint.reshape(-1), base=2) - of_x
    assert conditional_entropy(y, x) == pytest.approx(expected, abs=1e-12)


def test_spaces_that_are_known() -> None:
    random = np.random.RandomState(0)
    codes = random.randn(4000, 5)
    perfect = linear_separability(codes=codes, logits=codes[:, :3] * 10)
    assert perfect.score == pytest.approx(1, abs=1e-9)
    unrelated = linear_separability(codes=codes, logits=random.randn(4000, 2))
    assert unrelated.score == pytest.approx(4, rel=0.01)
    # Nine of ten labels follow the code: H = 0.469 bits.
    codes[:, 0] = np.where(codes[:, 0] > 0, 1, -1)
    flipped = codes[:, :1] * np.where(np.arange(4000) % 10 == 0, -1, 1)[:, None]
    nine = linear_separability(codes=codes[:, :1], logits=flipped, keep=1)
    assert nine.score == pytest.approx(1.38415, rel=1e-3)


def test_the_surest_half_is_kept() -> None:
    """Labels follow the code where the classifier is sure, and are the reverse elsewhere."""
    codes = np.random.RandomState(0).randn(1000, 3)
    codes[:, 0] += 3 * np.sign(codes[:, 0])
    sure = np.arange(1000) % 2 == 0
    logits = np.where(sure, 5, -1)[:, None] * np.sign(codes[:, :1])
    assert linear_separability(codes=codes, logits=logits).score == pytest.approx(1, abs=1e-9)
    assert linear_separability(codes=codes, logits=logits, keep=1).score > 1.9


def test_an_attribute_that_all_have() -> None:
    codes = np.random.RandomState(0).randn(100, 3)
    found = linear_separability(codes=codes, logits=np.stack([codes[:, 0], np.ones(100)], axis=1))
    assert found.entropies[1] == 0
    assert found.score == pytest.approx(1, abs=1e-9)


def test_bad_input() -> None:
    x, positive = problem(20, 3, 0)
    with pytest.raises(InputError, match="same images, got 20 and 19"):
        linear_separability(codes=x, logits=x[:19])
    with pytest.raises(InputError, match="keep: must be from above 0 to 1, got 0"):
        linear_separability(codes=x, logits=x, keep=0)
    with pytest.raises(InputError, match=r"positive: must be bool \[20\], got int64"):
        fit_linear_svm(x, positive.astype(np.int64))
    with pytest.raises(InputError, match="c: must be positive"):
        fit_linear_svm(x, positive, c=0)
    with pytest.raises(InputError, match=r"x: must be \[N, 3\] as in training, got \[20, 2\]"):
        fit_linear_svm(x, positive).decide(x[:, :2])
