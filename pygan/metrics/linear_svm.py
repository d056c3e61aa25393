"""Linear support vector machines for two classes.

The problem of scikit-learn's ``LinearSVC`` and of liblinear (Fan et al. 2008, "LIBLINEAR: a library
for large linear classification") with their defaults, the squared hinge loss and a bias that is
regularised like a weight of a constant feature 1::

    min  1/2 (|w|^2 + b^2) + C sum_i max(0, 1 - y_i (w.x_i + b))^2,    y_i = -1 or 1

It is convex and smooth, and solved by Newton's method (Keerthi and DeCoste 2005, "A modified finite
Newton method for fast solution of large scale linear SVMs"): between steps only the set of samples
within the margin changes, so that few are needed, each as much as a least squares fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pygan.errors import InputError
from pygan.metrics.checks import ROWS, feature_matrix, ranges

_STEPS = 100
_TOLERANCE = 1e-9  # of the gradient, relative to that at 0


@dataclass(frozen=True)
class LinearSvm:
    """A separating plane.

    Attributes:
        weight: float64 [d].
        bias: of the plane.
    """

    weight: np.ndarray
    bias: float

    def decide(self, x: Any) -> np.ndarray:
        """``w.x + b`` [N] of samples [N, d]: positive for the class True."""
        values = feature_matrix(x, "x")
        if values.shape[1] != len(self.weight):
            raise InputError(
                f"x: must be [N, {len(self.weight)}] as in training, got {list(values.shape)}"
            )
        return values @ self.weight + self.bias


def fit_linear_svm(x: Any, positive: Any, *, c: float = 1.0) -> LinearSvm:
    """Fits a plane.

    Args:
        x: samples [N, d].
        positive: [N], whether a sample is of the class True.
        c: weight of the loss.

    Raises:
        InputError: shapes that do not fit, values that are not finite, ``c`` not positive.
    """
    values = feature_matrix(x, "x")
    classes = np.asarray(positive)
    if classes.dtype != np.bool_ or classes.shape != (len(values),):
        raise InputError(
            f"positive: must be bool [{len(values)}], got {classes.dtype} {list(classes.shape)}"
        )
    if not c > 0:
        raise InputError(f"c: must be positive, got {c}")
    y = np.where(classes, 1.0, -1.0)
    plane = np.zeros(values.shape[1] + 1)  # the bias comes last
    margins = np.zeros(len(values))
    target = None
    for _ in range(_STEPS):
        gradient, hessian = _derivatives(values, y, margins, plane, c)
        size = float(np.abs(gradient).max())
        target = size * _TOLERANCE if target is None else target
        if size <= target:
            break
        step = -np.linalg.solve(hessian, gradient)
        change = y * _apply(values, step)
        length = _line_search(plane, step, margins, change, c)
        plane = plane + length * step
        margins = margins + length * change
        if np.abs(length * step).max() <= 1e-14 * np.abs(plane).max():
            break
    return LinearSvm(plane[:-1], float(plane[-1]))


def _apply(values: np.ndarray, plane: np.ndarray) -> np.ndarray:
    return values @ plane[:-1] + plane[-1]


def _derivatives(
    values: np.ndarray, y: np.ndarray, margins: np.ndarray, plane: np.ndarray, c: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient [d + 1] and Hessian [d + 1, d + 1] of the objective."""
    active = np.flatnonzero(margins < 1)
    gradient, hessian = plane.copy(), np.eye(len(plane))
    for rows in ranges(len(active), ROWS):
        some = active[rows]
        x = np.concatenate([values[some], np.ones([len(some), 1])], axis=1).astype(np.float64)
        gradient -= x.T @ (2 * c * (1 - margins[some]) * y[some])
        hessian += 2 * c * (x.T @ x)
    return gradient, hessian


def _line_search(
    plane: np.ndarray, step: np.ndarray, margins: np.ndarray, change: np.ndarray, c: float
) -> float:
    """Where along the step the objective is least: its slope is increasing, and 0 there."""

    def slope(t: float) -> float:
        slack = np.maximum(1 - margins - t * change, 0)
        return float(step @ (plane + t * step) - 2 * c * (slack @ change))

    high = 1.0
    while slope(high) < 0 and high < 2**20:
        high *= 2
    low = 0.0 if high == 1 else high / 2
    for _ in range(60):
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
