"""Peak memory of the whole StyleGAN2 training iteration.

    python -m benchmarks.bench_memory --torch-python PATH [--quick]

Each figure is the peak resident memory (VmHWM) of a fresh process that builds the networks and the
optimisers and runs every phase twice, nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.bench_networks import BATCH, CHANNEL_BASE, SIZES
from benchmarks.harness import Interpreters, Pool
from benchmarks.report import main

TITLE = "Peak memory of a training iteration"
REPEATS = 2
VARIANTS = {
    "pygan": "pygan_networks",
    "pygan-default": "pygan_networks",
    "torch-tuned": "torch_networks",
    "torch": "torch_networks",
    "paddle": "paddle_networks",
}
# pygan's variant and the one that its peak must not exceed
LIMITS = (("pygan", "torch-tuned"), ("pygan-default", "torch"))


@dataclasses.dataclass
class Peak:
    """Bytes resident at most, and with the framework imported but nothing built yet."""

    resolution: int
    variant: str
    peak: int
    imported: int


def measure(interpreters: Interpreters, variant: str, resolution: int) -> Peak:
    """Run the iteration in a process of its own."""
    module = f"benchmarks.workloads.{VARIANTS[variant]}"
    kwargs = {"resolution": resolution, "batch": BATCH, "channel_base": CHANNEL_BASE}
    with Pool(interpreters, threads=1) as pool:
        worker = pool[variant]
        # A tiny network loads the framework and its libraries.
        tiny = {"resolution": 8, "batch": 2, "channel_base": 64}
        worker.ask(do="build", case="tiny", target=f"{module}:iteration", kwargs=tiny)
        worker.ask(do="drop", case="tiny")
        imported = worker.ask(do="memory")["resident"]
        steps = worker.ask(do="build", case="", target=f"{module}:iteration", kwargs=kwargs)
        for _ in range(REPEATS):
            for step in steps["steps"]:
                worker.ask(do="run", case="", step=step)
        return Peak(resolution, variant, worker.ask(do="memory")["peak"], imported)


def measure_all(interpreters: Interpreters, quick: bool = False) -> list[Peak]:
    """All variants that are installed, one after another; `quick`: 64² only."""
    peaks = []
    for size in SIZES[:1] if quick else SIZES:
        for variant in VARIANTS:
            if interpreters.python(variant) is not None:
                peaks.append(measure(interpreters, variant, size))
    return peaks


def ratios(peaks: Sequence[Peak]) -> list[tuple[int, str, str, float]]:
    """(resolution, pygan's variant, PyTorch's variant, pygan's peak over PyTorch's)."""
    found = {(peak.resolution, peak.variant): peak.peak for peak in peaks}
    return [
        (size, ours, theirs, found[size, ours] / found[size, theirs])
        for size in dict.fromkeys(peak.resolution for peak in peaks)
        for ours, theirs in LIMITS
        if (size, theirs) in found
    ]


if __name__ == "__main__":
    main(["memory"])
