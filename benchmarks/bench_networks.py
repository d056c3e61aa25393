"""Generator inference.

python -m benchmarks.bench_networks --torch-python PATH [--quick] [--threads 1 2]
"""

from __future__ import annotations

from benchmarks.harness import Case, Goal, Workload
from benchmarks.report import main

TITLE = "Generator inference"
ROUNDS = 7
WARMUP = 2
SIZES = (64, 256)
BATCH = 4
# Half of config F's feature maps, as the papers use at 256² and below.
CHANNEL_BASE = 16384
# name, variant, function, how many times faster pygan is to be
COMPETITORS = (
    ("PyTorch tuned", "torch-tuned", "torch_networks:generator", 2.5),
    ("PyTorch", "torch", "torch_networks:generator", 4.0),
    ("PaddleGAN", "paddle", "paddle_networks:paddlegan", 8.0),
    ("PaddleGAN tuned", "paddle-tuned", "paddle_networks:paddlegan", None),
    ("Paddle", "paddle", "paddle_networks:generator", None),
    ("pygan, default malloc", "pygan-default", "pygan_networks:generator", None),
)


def workloads(quick: bool = False) -> list[Workload]:
    """One row per resolution; `quick`: 64² only."""
    rows = []
    for size in SIZES[:1] if quick else SIZES:
        kwargs = {"resolution": size, "batch": BATCH, "channel_base": CHANNEL_BASE}
        cases = [
            Case(name, variant, f"benchmarks.workloads.{function}", kwargs)
            for name, variant, function, _ in (
                ("pygan", "pygan", "pygan_networks:generator", None),
                *COMPETITORS,
            )
        ]
        goals = [Goal(name, at_least) for name, _, _, at_least in COMPETITORS]
        rows.append(Workload(TITLE, f"StyleGAN2 generator {size}², batch {BATCH}", cases, goals))
    return rows


if __name__ == "__main__":
    main(["networks"])
