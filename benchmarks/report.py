"""Run benchmark suites and write the tables of docs/benchmarks.md.

    python -m benchmarks.report --torch-python PATH --output docs/benchmarks.md

Without --suite all suites run. --quick: 64² networks only and few rounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    TUNED_MALLOC,
    VARIANTS,
    Case,
    Interpreters,
    Outcome,
    Pool,
    Result,
    Workload,
    measure,
    measure_all,
)

SUITES = ("ops", "networks", "iteration", "memory")
QUICK_ROUNDS = 3
GEMM_SIZE = 2048


@dataclasses.dataclass
class Report:
    """Everything measured in one run."""

    machine: dict[str, str]
    results: list[Result]
    limits: dict[int, dict[str, float]]
    memory: list[Any]
    failures: list[str] = dataclasses.field(default_factory=list)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def describe_machine(pool: Pool) -> dict[str, str]:
    """What a reader needs to judge or to repeat the figures."""
    flags = Path("/proc/cpuinfo").read_text()
    isa = "AVX-512" if " avx512f " in flags else "AVX2" if " avx2 " in flags else "no AVX2"
    found = {
        "CPU": f"{cpu_model()}, {isa}, {len(os.sched_getaffinity(0))} cores used",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "Python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }
    found |= pool["pygan"].call("benchmarks.workloads.pygan_ops:versions")
    if pool.available("torch"):
        found["PyTorch"] = pool["torch"].call("benchmarks.workloads.torch_ops:versions")["torch"]
    return found


def measure_limits(pool: Pool) -> dict[str, float]:
    """memcpy in GB/s (read + written) and sgemm in GFLOP/s, the best of the frameworks."""
    size = 2**28
    cases = [
        Case("memcpy", "limits", "benchmarks.workloads.limits:memcpy", {"size": size}),
        Case("paddle", "pygan", "benchmarks.workloads.pygan_ops:sgemm", {"size": GEMM_SIZE}),
        Case("torch", "torch-tuned", "benchmarks.workloads.torch_ops:sgemm", {"size": GEMM_SIZE}),
    ]
    timings = measure(Workload("limits", "limits", cases), pool, rounds=7).timings
    gemm = min(timing.median for name, timing in timings.items() if name != "memcpy")
    return {
        "memcpy": 2 * size / timings["memcpy"].median / 1e9,
        "sgemm": 2 * GEMM_SIZE**3 / gemm / 1e9,
    }


def cell(outcome: Outcome) -> str:
    """A ratio with its goal."""
    text = f"{outcome.ratio:.2f}" + ("" if outcome.goal.bytes_moved is not None else "×")
    if outcome.passed is None:
        return text
    verdict = "pass" if outcome.passed else "**miss**"
    return f"{text} (≥ {outcome.goal.at_least:g}, {verdict})"


def suite_table(results: Sequence[Result]) -> str:
    """One line per workload and thread count, one column per competitor."""
    bases = list(dict.fromkeys(o.goal.base for result in results for o in result.outcomes))
    heads = [f"of {base}'s rate" if base == "memcpy" else f"vs {base}" for base in bases]
    lines = [
        "| work | threads | pygan, ms | " + " | ".join(heads) + " |",
        "|---" * (3 + len(bases)) + "|",
    ]
    for result in results:
        found = {outcome.goal.base: cell(outcome) for outcome in result.outcomes}
        own = result.timings["pygan"]
        spread = f" ± {100 * own.spread:.0f} %" if len(own.rounds) > 1 else ""
        time = f"{1e3 * own.median:.4g}{spread}"
        cells = [found.get(base, "") for base in bases]
        lines.append(f"| {result.name} | {result.threads} | {time} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def phase_table(results: Sequence[Result]) -> str:
    """The phases of the iterations, in milliseconds."""
    timings = [timing for result in results for timing in result.timings.values()]
    steps = list(dict.fromkeys(step for timing in timings for step in timing.steps))
    lines = [
        "| phases, ms | threads | competitor | " + " | ".join(steps) + " |",
        "|---" * (3 + len(steps)) + "|",
    ]
    for result in results:
        for name, timing in result.timings.items():
            times = timing.steps
            cells = [f"{1e3 * times[step]:.4g}" if step in times else "" for step in steps]
            lines.append(f"| {result.name} | {result.threads} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def memory_table(peaks: Sequence[Any]) -> str:
    from benchmarks.bench_memory import ratios

    lines = [
        "| work | competitor | peak, MiB | of which before building, MiB |",
        "|---|---|---|---|",
    ]
    for peak in peaks:
        title = VARIANTS[peak.variant].title
        sizes = f"{peak.peak / 2**20:.0f} | {peak.imported / 2**20:.0f}"
        lines.append(f"| {peak.work} | {title} | {sizes} |")
    lines += ["", "| work | pygan | compared with | ratio |", "|---|---|---|---|"]
    for work, ours, theirs, value in ratios(peaks):
        verdict = "pass" if value <= 1 else "**miss**"
        titles = f"{VARIANTS[ours].title} | {VARIANTS[theirs].title}"
        lines.append(f"| {work} | {titles} | {value:.2f} (≤ 1, {verdict}) |")
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """The report as the text of docs/benchmarks.md."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.report --torch-python PATH --threads 1 2 --output "
        "docs/benchmarks.md` (suites, options and method: [benchmarks/](../benchmarks/README.md)).",
        "PyTorch appears as users get it and, *tuned*, with an allocator that keeps its memory, as "
        "pygan's does: the fair peer.",
        "",
        "## Machine and versions",
        "",
        "| | |",
        "|---|---|",
    ]
    parts += [f"| {key} | {value} |" for key, value in report.machine.items()]
    settings = ", ".join(f"`{name}={value}`" for name, value in TUNED_MALLOC.items())
    parts += [
        f"| tuned malloc, PyTorch and Paddle | {settings} |",
        "| tuned malloc, pygan | `pygan.tune_malloc()` |",
    ]
    for threads, limits in report.limits.items():
        rates = f"memcpy {limits['memcpy']:.1f} GB/s, sgemm {limits['sgemm']:.0f} GFLOP/s"
        parts.append(f"| limits, {threads} thread(s) | {rates} |")
    parts += [
        "",
        "float32. One thread: process CPU time; more: wall time. Medians of interleaved rounds, ± "
        "half the interquartile range; only the ratios carry over to other machines. A ratio is "
        "the competitor's time over pygan's, or pygan's rate over memcpy's.",
    ]
    for title in dict.fromkeys(result.group for result in report.results):
        results = [result for result in report.results if result.group == title]
        parts += ["", f"## {title}", "", suite_table(results)]
        if any(result.timings["pygan"].steps.keys() - {""} for result in results):
            parts += ["", phase_table(results)]
    if report.memory:
        parts += ["", "## Peak memory of a training iteration", "", memory_table(report.memory)]
    return "\n".join(parts) + "\n"


def _without(row: Workload, names: Sequence[str]) -> Workload:
    return dataclasses.replace(row, cases=[c for c in row.cases if c.name not in names])


def run(args: argparse.Namespace, suites: Sequence[str]) -> Report:
    """Run the suites with every thread count."""
    interpreters = Interpreters(torch=args.torch_python)
    modules = {name: importlib.import_module(f"benchmarks.bench_{name}") for name in suites}
    timed = {name: module for name, module in modules.items() if name != "memory"}
    report = Report({}, [], {}, [])
    for threads in args.threads if timed else ():
        with Pool(interpreters, threads) as pool:
            report.machine = report.machine or describe_machine(pool)
            report.limits[threads] = measure_limits(pool)
            for module in timed.values():
                rounds = args.rounds or (QUICK_ROUNDS if args.quick else module.ROUNDS)
                rows = module.workloads(args.quick)
                rows = [row for row in rows if args.only is None or args.only in row.name]
                rows = [_without(row, args.skip) for row in rows]
                results, failures = measure_all(rows, pool, rounds, module.WARMUP)
                report.results += results
                report.failures += failures
    if "memory" in modules:
        if not report.machine:
            with Pool(interpreters, 1) as pool:
                report.machine = describe_machine(pool)
        report.memory = modules["memory"].measure_all(interpreters, args.quick)
    return report


def main(default_suites: Sequence[str] = SUITES) -> None:
    """The command line of every suite and of the report."""
    parser = argparse.ArgumentParser(description="Benchmarks of pygan.")
    parser.add_argument("--torch-python", help="interpreter with PyTorch; without it, no PyTorch")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, help="timed rounds; each suite has its own default")
    parser.add_argument("--quick", action="store_true", help="64² only, few rounds")
    parser.add_argument("--only", help="run the workloads whose name contains this")
    parser.add_argument(
        "--skip", nargs="+", default=[], help="competitors to leave out: Paddle ..."
    )
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=list(default_suites))
    parser.add_argument("--output", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    args = parser.parse_args()
    report = run(args, args.suite)
    text = markdown(report)
    if args.json is not None:
        args.json.write_text(json.dumps(dataclasses.asdict(report), indent=1))
    if args.output is not None:
        args.output.write_text(text)
    sys.stdout.write(text)
    if report.failures:
        sys.exit(f"{len(report.failures)} workload(s) failed and are not in the tables")


if __name__ == "__main__":
    main()
