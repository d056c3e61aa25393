"""Peak memory of the whole StyleGAN2 training iteration, and of a label map's convolution.

    python -m benchmarks.bench_memory --torch-python PATH [--quick]

Each figure is the peak resident memory (VmHWM) of a fresh process that builds the networks and the
optimisers and runs every phase twice, nothing else; or the convolution's operands, with its forward
and backward pass twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench_networks import BATCH, CHANNEL_BASE, SIZES
from benchmarks.bench_ops import LABEL_MAP, MODULES, label_text
from benchmarks.harness import Interpreters, Pool
from benchmarks.report import main

TITLE = "Peak memory of a training iteration"
LABELS = f"label conv 3×3 {label_text()}, forward + backward"
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

    work: str
    variant: str
    peak: int
    imported: int


def measure(
    interpreters: Interpreters,
    variant: str,
    work: str,
    target: str,
    tiny: Mapping[str, int],
    kwargs: Mapping[str, Any],
) -> Peak:
    """Run ``target`` in a process of its own; a tiny one first, which loads the libraries."""
    with Pool(interpreters, threads=1) as pool:
        worker = pool[variant]
        worker.ask(do="build", case="tiny", target=target, kwargs={**kwargs, **tiny})
        worker.ask(do="drop", case="tiny")
        imported = worker.ask(do="memory")["resident"]
        steps = worker.ask(do="build", case="", target=target, kwargs=dict(kwargs))
        for _ in range(REPEATS):
            for step in steps["steps"]:
                worker.ask(do="run", case="", step=step)
        return Peak(work, variant, worker.ask(do="memory")["peak"], imported)


def measure_all(interpreters: Interpreters, quick: bool = False) -> list[Peak]:
    """All variants that are installed, one after another; `quick`: 64² only."""
    peaks = []
    for size in SIZES[:1] if quick else SIZES:
        for variant in VARIANTS:
            if interpreters.python(variant) is not None:
                target = f"benchmarks.workloads.{VARIANTS[variant]}:iteration"
                kwargs = {"resolution": size, "batch": BATCH, "channel_base": CHANNEL_BASE}
                tiny = {"resolution": 8, "batch": 2, "channel_base": 64}
                peaks.append(measure(interpreters, variant, f"{size}²", target, tiny, kwargs))
    return peaks + measure_labels(interpreters)


def measure_labels(interpreters: Interpreters) -> list[Peak]:
    """The label convolution, of all variants that are installed."""
    peaks = []
    for variant in VARIANTS:
        if interpreters.python(variant) is not None:
            module = MODULES[variant.partition("-")[0]]
            target = f"benchmarks.workloads.{module}:label_conv"
            tiny = {"labels": 2, "channels": 2, "size": 8}
            kwargs = {**LABEL_MAP, "noise": False, "backward": True}
            peaks.append(measure(interpreters, variant, LABELS, target, tiny, kwargs))
    return peaks


def ratios(peaks: Sequence[Peak]) -> list[tuple[str, str, str, float]]:
    """(work, pygan's variant, PyTorch's variant, pygan's peak over PyTorch's)."""
    found = {(peak.work, peak.variant): peak.peak for peak in peaks}
    return [
        (work, ours, theirs, found[work, ours] / found[work, theirs])
        for work in dict.fromkeys(peak.work for peak in peaks)
        for ours, theirs in LIMITS
        if (work, theirs) in found
    ]


if __name__ == "__main__":
    main(["memory"])
