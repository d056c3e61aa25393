"""`python -m pygan.gpu_check` without a GPU: emulated kernels, a fake stopwatch, failures."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import paddle
import pytest

from pygan import ops
from pygan.gpu_check import ceilings, cli, device, networks, timing
from pygan.gpu_check.cases import Case, all_cases, small_cases
from pygan.gpu_check.checks import Check, compare, run_case, run_operators
from pygan.gpu_check.device import Machine, NothingToCheck
from pygan.gpu_check.report import Report
from pygan.gpu_check.timing import PaddleContender, Timing, TorchContender, race, time_all
from pygan.gpu_check.workloads import OPERATORS, Workload, build, workloads
from pygan.ops import _native, _tuner
from pygan.ops.bias_act import ACTIVATIONS

pytestmark = pytest.mark.skipif(
    _native.unavailable_reason() is not None, reason="no native operators"
)


class CpuMachine(Machine):
    """The native operators of the CPU in the GPU's place."""

    def __init__(self) -> None:
        super().__init__(emulated=True)

    @contextlib.contextmanager
    def on_gpu(self) -> Iterator[None]:
        yield


class FakeStopwatch:
    """Says what it is told, and calls once."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.asked = 0

    def milliseconds(self, body: Callable[[], object], calls: int) -> float:
        body()
        self.asked += 1
        return calls * self.times[(self.asked - 1) % len(self.times)]


def emulator() -> bool:
    try:
        with ops.emulated():
            return True
    except RuntimeError:
        return False


# Where there is nothing to check -------------------------------------------------------------


def test_paddle_for_the_cpu_is_told_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: False)
    assert cli.main([]) == 2
    message = capsys.readouterr().err
    assert "for the CPU alone" in message
    assert "--emulated" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("count", "with_cuda", "message"),
    [(0, True, "nvidia-smi.*CUDA_VISIBLE_DEVICES"), (1, False, "no CUDA kernels.*nvcc")],
)
def test_missing_gpu_or_kernels(
    count: int, with_cuda: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: count)
    monkeypatch.setattr(ops, "native_info", lambda: {"cuda": with_cuda})
    with pytest.raises(NothingToCheck, match=message):
        device.find(emulated=False)


def test_missing_library_and_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing() -> Any:
        raise RuntimeError("pygan_cuda.so is missing. Run: make emulator")

    monkeypatch.setattr(ops, "emulated", missing)
    with pytest.raises(NothingToCheck, match="make emulator"):
        device.find(emulated=True)
    monkeypatch.setattr(_native, "unavailable_reason", lambda: "not installed. Build them with")
    with pytest.raises(NothingToCheck, match="Build them with"):
        device.find(emulated=False)


def test_architectures_are_those_that_the_build_wrote_down(tmp_path: Path) -> None:
    stamp = tmp_path / "_C.json"
    assert device.architectures(stamp) == "unknown"
    stamp.write_text('{"paddle": "3"}')
    assert device.architectures(stamp) == "unknown"
    stamp.write_text('{"cuda": "70;80;90"}')
    assert device.architectures(stamp) == "70 80 90"


# Correctness ---------------------------------------------------------------------------------


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


def cubic(wrong: Callable[[paddle.Tensor], paddle.Tensor]) -> Case:
    """x³, natively computed by ``wrong``."""
    x = np.array([0.5, 1.0, 1.5])
    return Case(
        "x^3",
        {"x": x},
        lambda t, impl: (wrong if impl == "native" else pow3)(t["x"]),
        dtypes=("float32", "float64"),
    )


def pow3(x: paddle.Tensor) -> paddle.Tensor:
    return x * x * x


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


@pytest.mark.skipif(not emulator(), reason="no emulated kernels; run: make emulator")
def test_emulated_run_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: dict[str, Case] = {case.name.split()[0]: case for case in small_cases()}
    monkeypatch.setattr(cli, "small_cases", lambda: list(kinds.values()))
    file = tmp_path / "report.json"
    launches = []
    emulated = ops.emulated
    monkeypatch.setattr(ops, "emulated", lambda: (launches.append(1), emulated())[1])
    assert cli.main(["--emulated", "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert content["schema"] == 1
    assert content["mode"] == "emulated"
    assert len(content["checks"]) > 25
    assert len(launches) > len(content["checks"])
    assert all(check["passed"] for check in content["checks"])
    assert {check["dtype"] for check in content["checks"]} == set(Case.dtypes)
    assert content["timings"] == []
    markdown = capsys.readouterr().out
    assert "nothing was measured" in markdown
    assert "### Times" not in markdown


def test_failures_make_the_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "find", lambda emulated: CpuMachine())
    monkeypatch.setattr(cli, "run_networks", lambda machine: iter(()))
    monkeypatch.setattr(cli, "small_cases", lambda: [cubic(lambda x: x * 2), cubic(pow3)])
    assert cli.main(["--emulated"]) == 1
    output = capsys.readouterr()
    assert "2 of 4 comparisons with the CPU failed" in output.out
    assert "FAILED" in output.err
    monkeypatch.setattr(cli, "small_cases", lambda: [cubic(pow3)])
    assert cli.main(["--emulated"]) == 0
    assert cli.main(["--emulated", "--json", str(tmp_path / "no" / "file")]) == 1
    assert "--json" in capsys.readouterr().err


# Times ---------------------------------------------------------------------------------------


def tiny(op: str = "bias_act", **changes: Any) -> Workload:
    settings: dict[str, Any] = {
        **{"op": op, "batch": 2, "channels": 4, "size": 8},
        **{"dtype": "float32", "tf32": False, "backward": False},
    }
    return Workload(**{**settings, **changes})


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


# The report ----------------------------------------------------------------------------------


def full_report() -> Report:
    return Report(
        "gpu",
        False,
        {"gpu": "Fake | 9000", "driver": "1.2"},
        [
            Check("conv2d [1]", "float32", False, True, 2e-6, 1e-4, "forward"),
            Check("conv2d [2]", "float32", False, False, math.inf, 1e-4, "gradient of w"),
            Check("conv2d [2]", "float32", True, False, None, 1e-2, "", "RuntimeError: no image"),
        ],
        {"copy_gbps": 1250.0, "tf32_tflops": None},
        [
            Timing(tiny(), 2.0, 3.0, 5.0, 0.5),
            Timing(tiny("conv2d", tf32=True), None, 1.0, message="pygan: RuntimeError: launch"),
        ],
        ["Note."],
        12.0,
    )


def test_markdown() -> None:
    text = full_report().to_markdown()
    assert "**2 of 3 comparisons with the CPU failed.**" in text
    assert "| conv2d [2] | float32 | not finite | 1.0e-04 | gradient of w |" in text
    assert "| conv2d [2] | TF32 | - | 1.0e-02 | RuntimeError: no image |" in text
    assert "| conv2d | float32 | 1/2 |" in text
    assert "| copy | 1250 GB/s |" in text
    assert "| product TF32 | - |" in text
    assert "| 2 | 3 (1.50x) | 5 (2.50x) | 50% of copy |" in text
    assert "pygan: RuntimeError: launch" in text
    assert "Fake \\| 9000" in text
    assert "- Note." in text
    for block in text.split("\n\n"):  # tables are rectangular
        rows = [line.replace("\\|", "").count("|") for line in block.splitlines() if "|" in line]
        if block.startswith("|"):
            assert len(set(rows)) == 1


def test_json() -> None:
    content = json.loads(json.dumps(full_report().to_json(), allow_nan=False))
    assert set(content) == {
        *("schema", "mode", "quick", "seconds", "device", "checks", "ceilings", "timings", "notes")
    }
    assert content["checks"][1]["error"] is None
    assert not content["checks"][1]["passed"]
    assert content["timings"][0] == {
        **{"op": "bias_act", "shape": [2, 4, 8, 8], "dtype": "float32", "tf32": False},
        **{"backward": False, "ceiling": "copy_gbps", "pygan_ms": 2.0, "paddle_ms": 3.0},
        **{"torch_ms": 5.0, "share": 0.5, "message": ""},
    }


def test_contenders_of_paddle_build_and_run() -> None:
    contender = PaddleContender("paddle", FakeStopwatch(1.5))
    contender.build(tiny())
    assert contender.run(4) == pytest.approx(6.0)
