"""`python -m pygan.gpu_check` without a GPU: what it says, emulated runs, its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import paddle
import pytest

from pygan import ops
from pygan.gpu_check import cli, device
from pygan.gpu_check.cases import Case, small_cases
from pygan.gpu_check.device import NothingToCheck
from pygan.ops import _native
from tests.gpu_check.gpu_check_fakes import CpuMachine, cubic, emulator, pow3

pytestmark = pytest.mark.skipif(
    _native.unavailable_reason() is not None, reason="no native operators"
)


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


def test_a_folder_that_is_missing_is_found_out_before_the_checks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "find", None)
    assert cli.main(["--json", str(tmp_path / "no" / "file")]) == 1
    assert f"--json: there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


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
