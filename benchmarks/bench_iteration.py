"""The whole StyleGAN2 training iteration, lazy regularisers amortised.

    python -m benchmarks.bench_iteration --torch-python PATH [--quick] [--threads 1 2]

Time of an iteration = Gmain + Greg / 4 + Dmain + Dreg / 16 + moving average. Each phase includes
its optimiser step and is timed by itself, interleaved with the same phase of the competitors.
pygan's phases are steps of its training engine and include the moving average each.
"""

from __future__ import annotations

from benchmarks.bench_networks import BATCH, CHANNEL_BASE, SIZES
from benchmarks.harness import Case, Goal, Workload
from benchmarks.report import main

TITLE = "Training iteration"
ROUNDS = 3
WARMUP = 1
WEIGHTS = {"Greg": 1 / 4, "Dreg": 1 / 16}
# name, variant, module, how many times faster pygan is to be
COMPETITORS = (
    ("PyTorch tuned", "torch-tuned", "torch_networks", 1.8),
    ("PyTorch", "torch", "torch_networks", 2.5),
    ("Paddle", "paddle", "paddle_networks", 5.0),
)


def workloads(quick: bool = False) -> list[Workload]:
    """One row per resolution; `quick`: 64² only."""
    rows = []
    for size in SIZES[:1] if quick else SIZES:
        kwargs = {"resolution": size, "batch": BATCH, "channel_base": CHANNEL_BASE}
        cases = [
            Case(name, variant, f"benchmarks.workloads.{module}:iteration", kwargs, WEIGHTS)
            for name, variant, module, _ in (
                ("pygan", "pygan", "pygan_networks", None),
                *COMPETITORS,
            )
        ]
        goals = [Goal(name, at_least) for name, _, _, at_least in COMPETITORS]
        rows.append(Workload(TITLE, f"StyleGAN2 iteration {size}², batch {BATCH}", cases, goals))
    return rows


if __name__ == "__main__":
    main(["iteration"])
