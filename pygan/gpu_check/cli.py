"""The command line: what runs, in which order, and the exit code."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import paddle

from pygan.gpu_check import ceilings
from pygan.gpu_check.cases import all_cases, small_cases
from pygan.gpu_check.checks import Check, describe, run_operators
from pygan.gpu_check.device import Machine, NothingToCheck, facts, find
from pygan.gpu_check.networks import run_networks
from pygan.gpu_check.report import Report
from pygan.gpu_check.timing import (
    Contender,
    CudaStopwatch,
    PaddleContender,
    Stopwatch,
    TorchContender,
    has_torch,
    time_all,
)
from pygan.gpu_check.workloads import Workload, workloads

_SECONDS = 270.0  # then what is left is not timed any more


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(argv)
    if options.json is not None and not options.json.parent.is_dir():
        print(
            f"pygan.gpu_check: --json: there is no folder {options.json.parent}. Make it first.",
            file=sys.stderr,
        )
        return 1
    start = time.monotonic()
    try:
        machine = find(options.emulated)
    except NothingToCheck as reason:
        print(f"pygan.gpu_check: nothing to check here. {reason}", file=sys.stderr)
        return 2
    report = Report("emulated" if machine.emulated else "gpu", options.quick, facts(machine))
    check_all(machine, report, quick=options.quick)
    if machine.emulated:
        report.notes.append("Emulated: nothing was measured, and nothing ran on a GPU.")
    else:
        with machine.on_gpu():
            time_here(report, torch=options.torch, deadline=start + _SECONDS)
    report.seconds = time.monotonic() - start
    print(report.to_markdown(), end="")
    if options.json is not None:
        try:
            options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"pygan.gpu_check: --json: {error}", file=sys.stderr)
            return 1
    return 1 if report.failures else 0


def check_all(machine: Machine, report: Report, *, quick: bool) -> None:
    """Compare operators and networks with the CPU."""
    cases = small_cases() if machine.emulated or quick else all_cases()
    for group in (run_operators(machine, cases), run_networks(machine)):
        for check in group:
            report.checks.append(check)
            _tell(check)


def time_here(report: Report, *, torch: bool, deadline: float) -> None:
    """`measure_all` with the GPU's own clock."""
    try:
        stopwatch = CudaStopwatch()
        report.notes.append(f"Timed by {stopwatch.kind}.")
        measure_all(report, stopwatch, torch=torch, deadline=deadline)
    except Exception as error:  # as after a kernel that failed, when nothing works any more
        report.notes.append(f"Timing stopped: {describe(error)}")


def measure_all(
    report: Report,
    stopwatch: Stopwatch,
    *,
    torch: bool,
    deadline: float,
    loads: Optional[Sequence[Workload]] = None,
    megabytes: int = 512,
    side: int = 8192,
) -> None:
    """Ceilings, and operators against Paddle and PyTorch, on the current device."""
    loads = workloads(report.quick) if loads is None else loads
    report.ceilings, errors = ceilings.measure(stopwatch, megabytes=megabytes, side=side)
    report.notes += errors
    contenders: list[Contender] = [PaddleContender(name, stopwatch) for name in ("pygan", "paddle")]
    peer: Optional[TorchContender] = None
    if torch and has_torch():
        peer = TorchContender("cpu" if paddle.get_device() == "cpu" else "cuda")
        contenders.append(peer)
    elif torch:
        report.notes.append("PyTorch is not installed here: not timed.")
    try:
        for timing in time_all(loads, contenders, report.ceilings, deadline):
            report.timings.append(timing)
            print(f"timed {timing.load.op} {timing.load.shape}", file=sys.stderr)
    finally:
        if peer is not None:
            peer.close()
            if peer.version:
                report.device["torch"] = peer.version
    report.notes.append(
        "Paddle is its own operators (cuDNN), whose second-order gradients are incomplete; "
        "PyTorch's composition is of torch.nn.functional. Neither fuses."
    )
    if not hasattr(paddle.base.core, "set_cublas_switch"):
        report.notes.append("This Paddle cannot switch TF32 off: its float32 is TF32, too.")


def _tell(check: Check) -> None:
    verdict = "ok" if check.passed else f"FAILED {check.message or check.worst}"
    kind = "TF32" if check.tf32 else check.dtype
    print(f"{check.name} {kind}: {verdict}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pygan.gpu_check",
        description="Checks pygan's operators on the GPU against the CPU, and times them.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE")
    parser.add_argument(
        "--emulated", action="store_true", help="without a GPU: run the kernels in the emulator"
    )
    parser.add_argument(
        "--no-torch", dest="torch", action="store_false", help="do not time PyTorch"
    )
    return parser
