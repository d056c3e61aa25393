"""What the tests of upfirdn2d share: random calls, and the definition in numpy and scipy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import paddle
from scipy.signal import convolve2d

from pygan.ops import upfirdn2d

IMPLS = ["native", "ref"]
TAPS = np.array([1.0, 3.0, 3.0, 1.0])

# Largest error, relative to Case.scale: of some additions in float32, then of one rounding (one
# truncation in the reference on Paddle 2, whose casts do not round).
TOLERANCE = {"float32": 2e-6, "float16": 1.1e-3, "bfloat16": 9e-3}


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    f: np.ndarray
    up: list[int]
    down: list[int]
    padding: list[int]
    flip: bool
    gain: float

    def run(self, x: paddle.Tensor, impl: str, f: Any = None) -> paddle.Tensor:
        f = self.f if f is None else f
        return upfirdn2d(x, f, self.up, self.down, self.padding, self.flip, self.gain, impl=impl)

    def scale(self, x: np.ndarray) -> float:
        """Bound of the result's size: what its rounding errors are relative to."""
        taps = np.abs(_outer(self.f)).sum()
        return float(abs(self.gain) * taps * np.abs(x).max())


def _outer(f: np.ndarray) -> np.ndarray:
    return np.outer(f, f) if f.ndim == 1 else f


def oracle(x: np.ndarray, case: Case) -> np.ndarray:
    """The four steps of the definition, one after the other, in float64."""
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = case.up, case.down, case.padding
    n, c, h, w = x.shape
    u = np.zeros((n, c, h * up_y, w * up_x))
    u[:, :, ::up_y, ::up_x] = x
    u = np.pad(u, [(0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))])
    u = u[:, :, max(-y0, 0) : u.shape[2] - max(-y1, 0), max(-x0, 0) : u.shape[3] - max(-x1, 0)]
    f = _outer(case.f)
    f = f[::-1, ::-1] if case.flip else f
    return case.gain * np.stack(
        [[convolve2d(p, f, "valid")[::down_y, ::down_x] for p in image] for image in u]
    )


def is_legal(case: Case) -> bool:
    """The filter fits, and (for the oracle's sake) cropping leaves a pixel."""
    _, _, h, w = case.shape
    x0, x1, y0, y1 = case.padding
    kh, kw = _outer(case.f).shape
    rows, columns = h * case.up[1], w * case.up[0]
    return (
        rows + y0 + y1 >= kh
        and columns + x0 + x1 >= kw
        and rows + min(y0, 0) + min(y1, 0) >= 1
        and columns + min(x0, 0) + min(x1, 0) >= 1
    )


def random_case(rng: np.random.Generator) -> Case:
    while True:
        shape = (
            int(rng.integers(1, 3)),
            int(rng.integers(1, 3)),
            int(rng.integers(1, 13)),
            int(rng.integers(1, rng.choice([4, 13, 90]))),
        )
        kind = rng.integers(3)
        if kind == 0:
            f = rng.standard_normal(rng.integers(1, 25))
        else:
            f = rng.standard_normal(rng.integers(1, 8, 2))
            if kind == 1:
                f = np.outer(f[:, 0], f[0])
        case = Case(
            shape,
            f,
            [int(i) for i in rng.integers(1, 5, 2)],
            [int(i) for i in rng.integers(1, 5, 2)],
            [int(i) for i in rng.integers(-3, 9, 4)],
            bool(rng.integers(2)),
            float(rng.uniform(0.25, 4)),
        )
        if is_legal(case):
            return case
