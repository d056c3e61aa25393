"""Is our PyTorch peer as fast as a public implementation?

    git clone https://github.com/rosinality/stylegan2-pytorch
    python -m benchmarks.compare_public --clone stylegan2-pytorch --torch-python PATH

prints, for equal networks (channel_base 16384, 8 mapping layers), how many times faster the peer is
than the public implementation as it is, and than the public implementation with its slow CPU
filters replaced by depthwise convolutions. 1.0 or more: the peer is at least as fast.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.harness import Case, Interpreters, Pool, Workload, measure

MODULE = "benchmarks.workloads.public_torch"


def compare(pool: Pool, variant: str, clone: str, size: int, batch: int, rounds: int) -> None:
    """Measure one resolution under one malloc setting and print the ratios."""
    counts = pool[variant].call(f"{MODULE}:parameters", clone=clone, resolution=size)
    error = pool[variant].call(f"{MODULE}:filter_error", clone=clone)
    print(f"## {variant}, {size}x{size}, batch {batch}, {pool.threads} thread(s)")
    print(f"parameters {counts}; the two filters differ by {error:.1e}\n")
    size_args = {"resolution": size, "batch": batch}
    public_args = {"clone": clone, **size_args}
    cases = [
        Case("public", variant, f"{MODULE}:public", public_args),
        Case("refiltered", variant, f"{MODULE}:public", {**public_args, "depthwise_filters": True}),
        Case("ours", variant, f"{MODULE}:ours", size_args),
    ]
    result = measure(Workload("peer", str(size), cases), pool, rounds, warmup=1)
    steps = {case: timing.steps for case, timing in result.timings.items()}
    print("| step | ours, s | public / ours | public with depthwise filters / ours |")
    print("|---|---|---|---|")
    columns: tuple[list[float], list[float]] = ([], [])
    for step, seconds in steps["ours"].items():
        ratios = [steps[case][step] / seconds for case in ("public", "refiltered")]
        for column, value in zip(columns, ratios):
            column.append(value)
        print(f"| {step} | {seconds:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    means = [statistics.geometric_mean(column) for column in columns]
    print(f"| geometric mean | | {means[0]:.2f} | {means[1]:.2f} |\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clone", required=True, help="clone of rosinality/stylegan2-pytorch")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--resolution", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--variant", nargs="+", default=["torch-tuned", "torch"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    clone = str(Path(args.clone).resolve())
    for threads in args.threads:
        for variant in args.variant:
            with Pool(Interpreters(torch=args.torch_python), threads) as pool:
                for size in args.resolution:
                    compare(pool, variant, clone, size, args.batch, args.rounds)


if __name__ == "__main__":
    main()
