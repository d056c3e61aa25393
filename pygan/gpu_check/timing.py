"""Medians of interleaved rounds: pygan, Paddle alone and PyTorch take turns on each workload."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

import paddle

from pygan import ops
from pygan.gpu_check.checks import describe
from pygan.gpu_check.workloads import Workload, build

_ROUNDS = 7
_ROUND_MS = 10.0
_MOST_CALLS = 50
_FAREWELL_SECONDS = 10.0
_WORKER = Path(__file__).with_name("torch_worker.py")

Body = Callable[[], object]


class Stopwatch(Protocol):
    """Times what runs on a GPU."""

    def milliseconds(self, body: Body, calls: int) -> float:
        """How long ``calls`` calls take, one after the other."""


class CudaStopwatch:
    """CUDA events of Paddle on its current stream; where it has none that tell time, the clock.

    Attributes:
        kind: which of the two, for the report.
    """

    def __init__(self) -> None:
        x = paddle.ones([2**20])
        # Paddle 2's events return 0, and versions differ in what they raise where they cannot time.
        # If it is the GPU that fails, so will the clock's calls.
        try:
            tells = self._by_events(lambda: paddle.assign(x + 1, x), 20) > 0
        except Exception:
            tells = False
        self._measure = self._by_events if tells else self._by_clock
        self.kind = "CUDA events" if tells else "the wall clock around synchronised calls"

    def milliseconds(self, body: Body, calls: int) -> float:
        return self._measure(body, calls)

    def _by_events(self, body: Body, calls: int) -> float:
        first, last = (paddle.device.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(calls):
            body()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last))

    def _by_clock(self, body: Body, calls: int) -> float:
        paddle.device.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            body()
        paddle.device.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start)


class Contender(Protocol):
    """One framework."""

    name: str

    def build(self, load: Workload) -> None:
        """Make a workload the one that `run` runs."""

    def run(self, calls: int) -> float:
        """Milliseconds of ``calls`` calls."""


class PaddleContender:
    """'pygan' or 'paddle' (alone), in this process."""

    def __init__(self, name: str, stopwatch: Stopwatch) -> None:
        self.name, self._stopwatch = name, stopwatch
        self._body: Optional[Body] = None

    def build(self, load: Workload) -> None:
        self._body = None
        self._body = build(load, self.name)

    def run(self, calls: int) -> float:
        assert self._body is not None
        return self._stopwatch.milliseconds(self._body, calls)


class TorchContender:
    """PyTorch, in a process of its own."""

    name = "torch"

    def __init__(self, device: str = "cuda") -> None:
        self.version = ""
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def build(self, load: Workload) -> None:
        self.version = self._ask({"do": "build", "load": load.to_dict()})["version"]

    def run(self, calls: int) -> float:
        return float(self._ask({"do": "run", "calls": calls})["ms"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:  # the answer it works on may never come
            self._process.kill()
            self._process.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"PyTorch's process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def has_torch() -> bool:
    """Whether PyTorch is installed beside Paddle."""
    return importlib.util.find_spec("torch") is not None


@dataclass
class Timing:
    """Medians of one workload; see `timings` in pygan/gpu_check/__init__.py."""

    load: Workload
    pygan_ms: Optional[float] = None
    paddle_ms: Optional[float] = None
    torch_ms: Optional[float] = None
    share: Optional[float] = None
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = asdict(self)
        del values["load"]
        load = self.load
        return {
            "op": load.op,
            "shape": load.shape,
            "dtype": load.dtype,
            "tf32": load.tf32,
            "backward": load.backward,
            "ceiling": load.ceiling,
            **values,
        }


def time_all(
    loads: Sequence[Workload],
    contenders: Sequence[Contender],
    ceilings: dict[str, Optional[float]],
    deadline: float,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Timing]:
    """Time every workload, until ``deadline`` on the clock ``now``; then say that time ran out."""
    for load in loads:
        timing = Timing(load)
        if now() > deadline:
            timing.message = "not timed: out of time"
            yield timing
            continue
        with paddle_tf32(load.tf32):
            medians, errors = race(load, contenders)
        timing.message = "; ".join(f"{name}: {why}" for name, why in errors.items())
        for name, median in medians.items():
            setattr(timing, f"{name}_ms", median)
        ceiling = ceilings.get(load.ceiling)
        if timing.pygan_ms and ceiling:
            timing.share = load.work() / timing.pygan_ms / ceiling
        yield timing


def race(
    load: Workload, contenders: Sequence[Contender]
) -> tuple[dict[str, float], dict[str, str]]:
    """Milliseconds per call of each contender, and why the others have none."""
    errors: dict[str, str] = {}
    calls: dict[str, int] = {}
    samples: dict[str, list[float]] = {}
    for contender in contenders:
        try:
            contender.build(load)
            contender.run(3)  # compiles, plans and allocates
            once = contender.run(1)
            calls[contender.name] = max(1, min(_MOST_CALLS, math.ceil(_ROUND_MS / max(once, 1e-6))))
            samples[contender.name] = []
        except Exception as error:
            errors[contender.name] = describe(error)
    for _ in range(_ROUNDS):
        for contender in contenders:
            name = contender.name
            if name in errors:
                continue
            try:
                samples[name].append(contender.run(calls[name]) / calls[name])
            except Exception as error:
                errors[name] = describe(error)
    medians = {n: statistics.median(s) for n, s in samples.items() if n not in errors}
    return medians, errors


@contextlib.contextmanager
def paddle_tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products, pygan's and Paddle's, may be TF32 inside the block.

    Paddle 2 has no such switch: its TF32 stays as NVIDIA_TF32_OVERRIDE says.
    """
    core = paddle.base.core
    switches = ("cublas", "cudnn") if hasattr(core, "set_cublas_switch") else ()
    previous = [getattr(core, f"get_{name}_switch")() for name in switches]
    before = ops.allow_tf32(allowed)
    try:
        for name in switches:
            getattr(core, f"set_{name}_switch")(allowed)
        yield
    finally:
        for name, value in zip(switches, previous):
            getattr(core, f"set_{name}_switch")(value)
        ops.allow_tf32(before)
