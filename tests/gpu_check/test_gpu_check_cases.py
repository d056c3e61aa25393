"""Comparisons with the CPU agree on the CPU itself, and find errors of every order."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.gpu_check import networks
from pygan.gpu_check.cases import Case, all_cases, small_cases
from pygan.gpu_check.checks import Check, compare, run_case, run_operators
from pygan.gpu_check.device import Machine
from pygan.ops import _native, _tuner
from pygan.ops.bias_act import ACTIVATIONS
from tests.gpu_check.gpu_check_fakes import CpuMachine, cubic, pow3

pytestmark = pytest.mark.skipif(
    _native.unavailable_reason() is not None, reason="no native operators"
)


def test_cases_cover_every_operator_and_activation() -> None:
    for cases in (all_cases(), small_cases()):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)
        used = {name.split()[0] for name in names}
        assert used == {
            *("bias_act", "upfirdn2d", "conv2d", "conv_transpose2d", "conv2d_resample"),
            "modulated_conv2d",
        }
        acts = {name.split()[1] for name in names if name.startswith("bias_act")}
        assert acts == set(ACTIVATIONS)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_cases_agree_on_the_cpu(case: Case) -> None:
    for dtype in ("float32", "float16"):
        if dtype in case.dtypes:
            check = run_case(CpuMachine(), case, dtype, tf32=False)
            assert check.passed, check


@pytest.mark.parametrize(
    ("wrong", "worst"),
    [
        (lambda x: pow3(x) * 1.01, "forward"),
        (lambda x: pow3(x.detach()) + 0 * x, "gradient of x"),
        # Value and slope are right, curvature is 0.
        (
            lambda x: 3 * x.detach() ** 2 * x - 2 * x.detach() ** 3,
            "second-order gradient of x",
        ),
        (lambda x: pow3(x) + float("nan"), "forward"),
    ],
)
def test_errors_of_every_order_are_found(wrong: Any, worst: str) -> None:
    assert run_case(CpuMachine(), cubic(pow3), "float32", tf32=False).passed
    check = run_case(CpuMachine(), cubic(wrong), "float32", tf32=False)
    assert not check.passed
    assert check.error is not None
    assert check.error > 5e-3
    if worst != "forward":
        assert check.worst == worst
    json.dumps(check.to_dict(), allow_nan=False)


def test_an_exception_is_a_result_and_the_rest_goes_on() -> None:
    def fail(x: paddle.Tensor) -> paddle.Tensor:
        raise RuntimeError("\n---\nillegal memory access\n")

    checks = list(run_operators(CpuMachine(), [cubic(fail), cubic(pow3)]))
    assert [check.passed for check in checks] == [False] * 2 + [True] * 2
    assert checks[0].message == "RuntimeError: illegal memory access"


def test_another_shape_is_an_error() -> None:
    check = Check("a", "float32", tolerance=1.0)
    compare(check, {"forward": np.zeros(3)}, {"forward": np.zeros(4)})
    assert not check.passed
    assert "shape [3] instead of [4]" in check.message


def test_tf32_is_asked_for_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _native.tf32
    seen = []

    def call(t: Any, impl: str) -> paddle.Tensor:
        seen.append((impl, _native.tf32))
        return pow3(t["x"])

    case = Case("a", {"x": np.ones(2)}, call, multiplies=True, dtypes=("float32",))
    checks = list(run_operators(CpuMachine(), [case]))
    assert [check.tf32 for check in checks] == [False, True]
    assert [tf32 for impl, tf32 in seen if impl == "native"] == [False, True]
    assert _native.tf32 == before


def test_the_tuner_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = object()
    monkeypatch.setattr(_tuner, "tuner", tuner)
    machine = Machine(emulated=False)
    machine.gpu = "cpu"
    with machine.on_gpu():
        assert _tuner.tuner is None
    assert _tuner.tuner is tuner


def test_networks_agree_on_the_cpu_and_errors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = list(networks.run_networks(CpuMachine()))
    assert [check.passed for check in checks] == [True] * 4
    assert len({check.name for check in checks}) == 4

    class Broken(CpuMachine):
        @contextlib.contextmanager
        def on_gpu(self) -> Iterator[None]:
            call = _native.call

            def scaled(name: str, *arguments: Any) -> Any:
                y = call(name, *arguments)
                return y * 1.01 if name == "pg_conv2d" else y

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_native, "call", scaled)
                yield

    assert [check.passed for check in networks.run_networks(Broken())] == [False] * 4
