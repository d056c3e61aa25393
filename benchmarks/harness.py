"""Interleaved timing of several frameworks, each in a worker process of its own.

Method. A shared machine drifts by tens of percent within minutes, so an absolute time says little
and only ratios inside one run are quoted. Every workload is built in all its workers first; then
the cases run in turn, A B C A B C ..., and each case's median over the rounds is taken. With one
thread the figure is the process's CPU time, which other processes on the machine disturb least;
with more it is wall time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Seconds. The turns of the other cases empty the caches, and what is over this soon would be timed
# while it fills them again.
SETTLES_BELOW = 10.0

# glibc gives every large block straight back to the kernel, and each new tensor is then paid for
# again in page faults. These settings keep the memory in the process: what a user of PyTorch would
# set to be as fast as possible, and what `pygan.tune_malloc()` does for pygan.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**28),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A framework as it is run: which interpreter, which environment, which set-up call."""

    framework: str  # 'paddle' or 'torch': chooses the interpreter
    title: str
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: str | None = None  # "module:function" called once, before anything is built


PREPARE_PYGAN = "benchmarks.workloads.pygan_ops:tune_malloc"
VARIANTS: dict[str, Variant] = {
    "limits": Variant("paddle", "machine limits"),
    "pygan": Variant("paddle", "pygan, pygan.tune_malloc()", prepare=PREPARE_PYGAN),
    "pygan-default": Variant("paddle", "pygan, default malloc"),
    "paddle": Variant("paddle", "Paddle composition, default malloc"),
    "paddle-tuned": Variant("paddle", "Paddle composition, tuned malloc", TUNED_MALLOC),
    "torch": Variant("torch", "PyTorch, default malloc"),
    "torch-tuned": Variant("torch", "PyTorch, tuned malloc", TUNED_MALLOC),
}


class WorkerError(RuntimeError):
    """A worker failed or died; the message holds its traceback."""


class Worker:
    """A live worker process.

    Args:
        variant: a key of `VARIANTS`.
        python: the interpreter to run.
        threads: compute threads of every library in the worker.
    """

    def __init__(self, variant: str, python: str, threads: int) -> None:
        self.name = variant
        spec = VARIANTS[variant]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        env = {
            **inherited,
            **{f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")},
            **spec.env,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if os.environ.get("BENCH_QUIET", "1") == "1" else None,
            text=True,
        )
        if spec.prepare is not None:
            self.call(spec.prepare)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its reply; raise `WorkerError` if it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the empty read below reports the exit status
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"worker '{self.name}' died with status {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"worker '{self.name}' failed on {request}:\n{reply['error']}")
        return reply

    def call(self, target: str, /, **kwargs: Any) -> Any:
        """Call "module:function" in the worker and return its (JSON) result."""
        return self.ask(do="call", target=target, kwargs=kwargs)["value"]

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@dataclasses.dataclass(frozen=True)
class Interpreters:
    """Where each framework is installed. `torch` is None when there is none: its cases are left
    out, and the report says so."""

    torch: str | None = None
    paddle: str = sys.executable

    def python(self, variant: str) -> str | None:
        return self.torch if VARIANTS[variant].framework == "torch" else self.paddle


class Pool:
    """The workers of one run, started when first needed and closed together."""

    def __init__(self, interpreters: Interpreters, threads: int) -> None:
        self._interpreters = interpreters
        self._workers: dict[str, Worker] = {}
        self.threads = threads

    def available(self, variant: str) -> bool:
        return self._interpreters.python(variant) is not None

    def __getitem__(self, variant: str) -> Worker:
        if variant not in self._workers:
            python = self._interpreters.python(variant)
            if python is None:
                raise WorkerError(f"no interpreter for '{variant}': pass --torch-python PATH")
            self._workers[variant] = Worker(variant, python, self.threads)
        return self._workers[variant]

    def restart(self, variant: str) -> None:
        """Close a worker, so that the next use finds a fresh process."""
        if variant in self._workers:
            self._workers.pop(variant).close()

    def close(self) -> None:
        for variant in list(self._workers):
            self.restart(variant)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclasses.dataclass(frozen=True)
class Case:
    """One competitor in a workload.

    Args:
        name: what the table calls it; unique in the workload.
        variant: a key of `VARIANTS`.
        target: "module:function" building the body (or a dict of steps) inside the worker.
        kwargs: its arguments, JSON values.
        weights: how much each step counts in the case's total; steps not named count once.
    """

    name: str
    variant: str
    target: str
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Goal:
    """A ratio the table states, with the least value that passes (None: reported only).

    The ratio is time(`base`) / time(`case`): how many times faster `case` is. With `bytes_moved`
    the times become rates, (`bytes_moved` / time(case)) / (`base_bytes` / time(base)): the
    fraction of the limit that `case` reaches.
    """

    base: str
    at_least: float | None = None
    case: str = "pygan"
    bytes_moved: int | None = None
    base_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Workload:
    """One row of a table: the same work done by several competitors."""

    group: str
    name: str
    cases: Sequence[Case]
    goals: Sequence[Goal] = ()


@dataclasses.dataclass
class Timing:
    """Seconds per round of one case; `spread` is the half interquartile range over the median."""

    rounds: list[float]
    steps: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        if len(self.rounds) < 4:
            return (max(self.rounds) - min(self.rounds)) / (2 * self.median)
        low, _, high = statistics.quantiles(self.rounds, n=4)
        return (high - low) / (2 * self.median)


@dataclasses.dataclass
class Outcome:
    """A goal with what was measured."""

    goal: Goal
    ratio: float

    @property
    def passed(self) -> bool | None:
        return None if self.goal.at_least is None else self.ratio >= self.goal.at_least


@dataclasses.dataclass
class Result:
    """A measured workload."""

    group: str
    name: str
    threads: int
    timings: dict[str, Timing]
    outcomes: list[Outcome]


def ratio(goal: Goal, timings: Mapping[str, Timing]) -> float:
    """The figure that `goal` asks for, from the medians."""
    value = timings[goal.base].median / timings[goal.case].median
    if goal.bytes_moved is not None:
        assert goal.base_bytes is not None
        value *= goal.bytes_moved / goal.base_bytes
    return value


def measure(workload: Workload, pool: Pool, rounds: int, warmup: int = 2) -> Result:
    """Build a workload in its workers, run the cases interleaved, and drop them again.

    Cases whose framework is not installed are left out, with the goals that need them. Two rounds
    of warm-up let a tuned allocator reach the size at which it takes no more memory. What takes
    less than `SETTLES_BELOW` runs once untimed before every timed run.
    """
    clock = "cpu" if pool.threads == 1 else "wall"
    cases = [case for case in workload.cases if pool.available(case.variant)]
    steps: dict[str, list[str]] = {}
    for case in cases:
        reply = pool[case.variant].ask(
            do="build", case=case.name, target=case.target, kwargs=dict(case.kwargs)
        )
        steps[case.name] = reply["steps"]
    samples = {case.name: {step: [] for step in steps[case.name]} for case in cases}
    quick = set()  # what runs once more, untimed, before each timed run
    order = list(dict.fromkeys(step for names in steps.values() for step in names))
    for turn in range(warmup + rounds):
        for step in order:
            for case in cases:
                if step not in samples[case.name]:
                    continue
                run = functools.partial(pool[case.variant].ask, do="run", case=case.name, step=step)
                if (case.name, step) in quick:
                    run()
                taken = run()
                if turn >= warmup:
                    samples[case.name][step].append(taken[clock])
                elif taken[clock] < SETTLES_BELOW:
                    quick.add((case.name, step))
    timings = {}
    for case in cases:
        weighted = [
            [case.weights.get(step, 1.0) * seconds for seconds in samples[case.name][step]]
            for step in steps[case.name]
        ]
        timings[case.name] = Timing(
            rounds=[sum(parts) for parts in zip(*weighted, strict=True)],
            steps={step: statistics.median(samples[case.name][step]) for step in steps[case.name]},
        )
        pool[case.variant].ask(do="drop", case=case.name)
    outcomes = [
        Outcome(goal, ratio(goal, timings))
        for goal in workload.goals
        if goal.base in timings and goal.case in timings
    ]
    return Result(workload.group, workload.name, pool.threads, timings, outcomes)


def measure_all(
    workloads: Iterable[Workload],
    pool: Pool,
    rounds: int,
    warmup: int = 2,
    progress: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> tuple[list[Result], list[str]]:
    """`measure` each workload, reporting every one as it ends.

    Returns:
        The results, and for each workload in which a worker failed its name and the error.
    """
    results, failures = [], []
    for workload in workloads:
        try:
            result = measure(workload, pool, rounds, warmup)
        except WorkerError as error:
            failures.append(f"{workload.name}: {error}")
            progress(failures[-1])
            pool.close()  # what the workers still hold is unknown: start new ones
            continue
        times = ", ".join(f"{k} {1e3 * t.median:.1f}" for k, t in result.timings.items())
        progress(f"{result.group} | {result.name} | {result.threads} thread(s) | ms: {times}")
        results.append(result)
    return results, failures
