"""Operators on the GPU against the CPU's reference in float64: values and two orders of derivative.

For random constants r and v_i, positive so that sums do not cancel, and small so that those of
halves do not overflow, and y = op(inputs):
L = sum(r y) + sum(y y) / 20,  g_i = dL/dx_i,  S = sum_i sum(v_i g_i).
Compared are y, all g_i, and all dS/dx_i.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

import numpy as np
import paddle

from pygan import ops
from pygan.gpu_check.cases import Case
from pygan.gpu_check.device import Machine

# Of the largest value of the same tensor: roundings of the type, times what sums and two orders of
# differentiation make of them. A wrong kernel is off by tenths.
TOLERANCES = {"float64": 1e-12, "float32": 3e-5, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 5e-2}


@dataclass
class Check:
    """What became of one comparison; see the fields of `checks` in pygan/gpu_check/__init__.py."""

    name: str
    dtype: str
    tf32: bool = False
    passed: bool = False
    error: Optional[float] = None
    tolerance: Optional[float] = None
    worst: str = ""
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which knows no infinity."""
        error = self.error if self.error is None or math.isfinite(self.error) else None
        return {**asdict(self), "error": error}


def run_operators(machine: Machine, cases: Sequence[Case]) -> Iterator[Check]:
    """Every case in every type; float32 with and without TF32."""
    for case in cases:
        for dtype in case.dtypes:
            for tf32 in (False, True) if dtype == "float32" and case.multiplies else (False,):
                yield run_case(machine, case, dtype, tf32)


def run_case(machine: Machine, case: Case, dtype: Any, tf32: bool) -> Check:
    """One case; an exception is a result, too."""
    check = Check(case.name, dtype, tf32, tolerance=TOLERANCES["tf32" if tf32 else dtype])
    try:
        with machine.on_cpu():
            rounded = {
                key: paddle.to_tensor(array).astype(dtype).astype("float64").numpy()
                for key, array in case.inputs.items()
            }
            expected = derivatives(case, rounded, "float64", "ref")
        previous = ops.allow_tf32(tf32)
        try:
            with machine.on_gpu():
                actual = derivatives(case, rounded, dtype, "native")
        finally:
            ops.allow_tf32(previous)
        compare(check, actual, expected)
    except Exception as error:
        check.message = describe(error)
    return check


def derivatives(
    case: Case, arrays: dict[str, np.ndarray], dtype: Any, impl: str
) -> dict[str, np.ndarray]:
    """y, g_i and dS/dx_i by name, on the current device."""
    rng = np.random.default_rng(1)
    inputs = {key: paddle.to_tensor(array).astype(dtype) for key, array in arrays.items()}
    for tensor in inputs.values():
        tensor.stop_gradient = False
    exact: Any = "float64" if dtype == "float64" else "float32"
    y = case.call(inputs, impl)
    wide = y.astype(exact)
    r = paddle.to_tensor(rng.uniform(0.05, 0.15, y.shape)).astype(exact)
    loss = (wide * r).sum() + (wide * wide).sum() * 0.05
    targets = list(inputs.values())
    first = paddle.grad([loss], targets, create_graph=True)
    terms = []
    for g in first:
        v = paddle.to_tensor(rng.uniform(0.05, 0.15, g.shape)).astype(exact)
        terms.append((g.astype(exact) * v).sum())
    second = paddle.grad([paddle.add_n(terms)], targets, allow_unused=True)
    found = {"forward": y}
    found.update({f"gradient of {key}": g for key, g in zip(inputs, first)})
    for key, g in zip(inputs, second):
        found[f"second-order gradient of {key}"] = (
            paddle.zeros_like(inputs[key]) if g is None else g
        )
    return {key: value.detach().astype("float64").numpy() for key, value in found.items()}


def compare(check: Check, actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Fill in the largest error, relative to the largest value of its tensor.

    What is a hundred times smaller than the largest tensor counts as a cancelled sum, whose error
    is that of its terms.
    """
    check.error = -1.0
    largest = max(float(np.abs(want).max(initial=0)) for want in expected.values())
    for key, want in expected.items():
        got = actual[key]
        if got.shape != want.shape:
            check.message = f"{key} has shape {list(got.shape)} instead of {list(want.shape)}"
            return
        error = relative_error(got, want, 1e-2 * largest)
        if error > check.error:
            check.error, check.worst = error, key
    check.passed = check.tolerance is not None and check.error <= check.tolerance


def relative_error(got: np.ndarray, want: np.ndarray, least: float = 0.0) -> float:
    """The largest difference over the largest value, or over ``least`` where that is larger.

    Infinite where ``got`` is not finite.
    """
    if got.size == 0:
        return 0.0
    if not np.isfinite(got).all():
        return math.inf
    scale = max(float(np.abs(want).max()), least)
    return float(np.abs(got - want).max()) / (scale or 1.0)


def describe(error: BaseException) -> str:
    """The kind of an exception and the last line of its message, which says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
