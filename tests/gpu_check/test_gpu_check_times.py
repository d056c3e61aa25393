"""Workloads, contenders that take turns, ceilings: by a fake stopwatch."""

from __future__ import annotations

import math
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.gpu_check import ceilings, cli, timing
from pygan.gpu_check.report import Report
from pygan.gpu_check.timing import PaddleContender, TorchContender, race, time_all
from pygan.gpu_check.workloads import OPERATORS, Workload, build, workloads
from pygan.ops import _native
from tests.gpu_check.gpu_check_fakes import FakeStopwatch, tiny

pytestmark = pytest.mark.skipif(
    _native.unavailable_reason() is not None, reason="no native operators"
)


@pytest.mark.parametrize("op", OPERATORS)
def test_workloads_are_the_same_for_pygan_and_paddle(op: str) -> None:
    for backward in (False, True):
        results = []
        for framework in ("pygan", "paddle"):
            paddle.seed(3)
            y: Any = build(tiny(op, backward=backward), framework)()
            results.append([t.numpy() for t in (y if backward else [y])])
        assert len(results[0]) >= 1
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_what_workloads_have_to_move_and_multiply() -> None:
    values = 2 * 4 * 8 * 8
    assert tiny().work() == pytest.approx(2 * values * 4 / 1e6)
    assert tiny(backward=True, dtype="float16").work() == pytest.approx(5 * values * 2 / 1e6)
    assert tiny("upfirdn2d up").work() == pytest.approx(5 * values * 4 / 1e6)
    assert tiny("upfirdn2d down", backward=True).work() == pytest.approx(2.5 * values * 4 / 1e6)
    products = 2 * 9 * 4 * values / 1e9
    assert tiny("conv2d").work() == pytest.approx(products)
    assert tiny("modulated_conv2d up", backward=True).work() == pytest.approx(3 * products)
    assert tiny("conv2d_resample down").work() == pytest.approx(products / 4)
    assert tiny("conv2d", tf32=True).ceiling == "tf32_tflops"
    assert tiny("conv2d", dtype="float16").ceiling == "float16_tflops"
    assert tiny("upfirdn2d up").ceiling == "copy_gbps"


def test_workloads_are_those_of_stylegan2() -> None:
    everything = workloads(quick=False)
    assert {load.size for load in everything} == {64, 128, 256}
    assert {load.op for load in everything} == set(OPERATORS)
    assert {(load.dtype, load.tf32) for load in everything} == {
        *(("float32", False), ("float32", True), ("float16", False))
    }
    assert 0 < len(workloads(quick=True)) < len(everything)


class FakeContender:
    """Takes as long as it is told; notes when it ran."""

    def __init__(self, name: str, log: list[str], *times: float, fails: str = "") -> None:
        self.name, self.log, self.times, self.fails = name, log, times, fails
        self.runs = 0

    def build(self, load: Workload) -> None:
        if self.fails == "build":
            raise RuntimeError("out of memory")

    def run(self, calls: int) -> float:
        self.log.append(self.name)
        self.runs += 1
        if self.fails == "run" and self.runs == 6:
            raise RuntimeError("launch failed")
        return calls * self.times[self.runs % len(self.times)]


def test_contenders_take_turns_and_medians_count() -> None:
    log: list[str] = []
    one, two = FakeContender("pygan", log, 1.0, 1.0, 99.0), FakeContender("paddle", log, 2.0)
    medians, errors = race(tiny(), [one, two])
    assert medians == pytest.approx({"pygan": 1.0, "paddle": 2.0})
    assert not errors
    assert log[4:] == ["pygan", "paddle"] * 7


@pytest.mark.parametrize("fails", ["build", "run"])
def test_a_contender_that_fails_is_reported_and_the_others_go_on(fails: str) -> None:
    log: list[str] = []
    broken = FakeContender("torch", log, 1.0, fails=fails)
    medians, errors = race(tiny(), [FakeContender("pygan", log, 3.0), broken])
    assert medians == pytest.approx({"pygan": 3.0})
    assert list(errors) == ["torch"]
    broken.runs = 0
    (found,) = time_all([tiny()], [broken], {}, math.inf)
    assert "torch: RuntimeError" in found.message


def test_share_of_the_ceiling_and_deadline() -> None:
    log: list[str] = []
    pygan = FakeContender("pygan", log, 2.0)
    times = iter([0.0, 10.0])
    first, second = time_all(
        [tiny(), tiny("conv2d")], [pygan], {"copy_gbps": 0.5}, 5.0, lambda: next(times)
    )
    assert first.pygan_ms == pytest.approx(2.0)
    assert first.share == pytest.approx(2 * 512 * 4 / 1e6 / 2.0 / 0.5)
    assert (first.paddle_ms, first.torch_ms) == (None, None)
    assert second.pygan_ms is None
    assert "out of time" in second.message
    assert len(log) == 9


def test_ceilings() -> None:
    found, errors = ceilings.measure(FakeStopwatch(2.0), megabytes=1, side=32)
    assert errors == [] or not paddle.is_compiled_with_cuda()  # the CPU has no product of halves
    assert found["copy_gbps"] == pytest.approx(2 * 2**20 / 2e-3 / 1e9)
    assert found["float32_tflops"] == pytest.approx(2 * 32**3 / 2e-3 / 1e12)


def test_a_ceiling_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> float:
        raise MemoryError("Out of memory")

    monkeypatch.setattr(ceilings, "copy_gbps", fail)
    found, errors = ceilings.measure(FakeStopwatch(2.0), megabytes=1, side=32)
    assert found["copy_gbps"] is None
    assert found["float32_tflops"] is not None
    assert "copy_gbps: MemoryError: Out of memory" in errors


def test_measuring_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("gpu", True, {"gpu": "Fake 9000"})
    monkeypatch.setattr(cli, "has_torch", lambda: False)
    loads = [tiny(), tiny("conv2d", backward=True)]
    cli.measure_all(
        report,
        FakeStopwatch(1.0),
        **{"torch": True, "deadline": math.inf, "loads": loads, "megabytes": 1, "side": 32},
    )
    assert [t.pygan_ms for t in report.timings] == pytest.approx([1.0, 1.0])
    assert [t.paddle_ms for t in report.timings] == pytest.approx([1.0, 1.0])
    assert "PyTorch is not installed here: not timed." in report.notes


class FakeEvent:
    """An event of Paddle's that tells ``milliseconds``, or raises what it is."""

    milliseconds: Any = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, last: FakeEvent) -> float:
        if isinstance(self.milliseconds, Exception):
            raise self.milliseconds
        return float(self.milliseconds)


@pytest.mark.parametrize(
    ("tells", "kind"),
    [
        (2.5, "CUDA events"),
        (0.0, "the wall clock around synchronised calls"),
        (RuntimeError("not supported"), "the wall clock around synchronised calls"),
        (NotImplementedError(), "the wall clock around synchronised calls"),
    ],
)
def test_the_clock_stands_in_for_events_that_tell_no_time(
    monkeypatch: pytest.MonkeyPatch, tells: Any, kind: str
) -> None:
    monkeypatch.setattr(FakeEvent, "milliseconds", tells)
    monkeypatch.setattr(paddle.device, "Event", FakeEvent)
    monkeypatch.setattr(paddle.device.cuda, "synchronize", lambda: None)
    stopwatch = timing.CudaStopwatch()
    assert stopwatch.kind == kind
    taken = stopwatch.milliseconds(lambda: None, 3)
    assert taken == tells if kind == "CUDA events" else taken > 0


def test_pytorchs_process_is_ended_if_it_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_FAREWELL_SECONDS", 0.05)
    monkeypatch.setattr(timing, "_WORKER", Path("-c"))
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    peer = TorchContender("while :; do sleep 1; done")
    peer.close()
    assert peer._process.returncode == -signal.SIGKILL


def test_pytorchs_process_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    peer = TorchContender("cpu")
    with pytest.raises(RuntimeError, match="ended with status 1"):
        peer.build(tiny())
    peer.close()


@pytest.mark.parametrize("op", OPERATORS)
def test_pytorchs_side(op: str) -> None:
    if not timing.has_torch():
        pytest.skip("PyTorch is not installed")
    peer = TorchContender("cpu")
    try:
        for backward in (False, True):
            peer.build(tiny(op, backward=backward))
            assert peer.run(2) > 0
        with pytest.raises(RuntimeError, match="nonsense"):
            peer.build(tiny(op, dtype="nonsense"))
    finally:
        peer.close()


def test_contenders_of_paddle_build_and_run() -> None:
    contender = PaddleContender("paddle", FakeStopwatch(1.5))
    contender.build(tiny())
    assert contender.run(4) == pytest.approx(6.0)
