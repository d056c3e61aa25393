"""Operators: against memcpy, against PyTorch and against stock Paddle.

python -m benchmarks.bench_ops --torch-python PATH [--quick] [--threads 1 2] [--only bias_act]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Case, Goal, Workload
from benchmarks.report import main

TITLE = "Operators"
ROUNDS = 9
WARMUP = 2
FLOAT_BYTES = 4
SHAPE = (16, 64, 256, 256)
# Feature maps and size of the styled layers; batch 4.
LAYERS = ((256, 64), (128, 128), (64, 256))
# Batch and size of augmented images, of three colours.
AUGMENTED = ((32, 64), (8, 256))
# Batch, labels, channels and size of label maps: those of COCO-Stuff.
LABEL_MAP = {"batch": 1, "labels": 184, "channels": 128, "size": 256}
# Batch, channels and size of what SPADE normalises: a late and an early layer.
NORMALISED = ((4, 64, 256), (4, 256, 64))
MODULES = {"pygan": "pygan_ops", "paddle": "paddle_ops", "torch": "torch_ops"}
PEERS = {"PyTorch tuned": "torch-tuned", "PyTorch": "torch", "Paddle": "paddle"}


def target(variant: str, function: str) -> str:
    """The function of a variant's workload module."""
    return f"benchmarks.workloads.{MODULES[variant.partition('-')[0]]}:{function}"


def cases(function: str, kwargs: Mapping[str, Any]) -> list[Case]:
    """The same operator in pygan and in all peers."""
    names = {"pygan": "pygan", **PEERS}
    return [Case(name, v, target(v, function), kwargs) for name, v in names.items()]


def memory_bound(
    name: str, function: str, kwargs: Mapping[str, Any], moved: int, at_least: float | None
) -> Workload:
    """An operator whose limit is memcpy. `moved`: the bytes it has to read and write."""
    copied = FLOAT_BYTES * math.prod(SHAPE)
    limit = Case("memcpy", "limits", "benchmarks.workloads.limits:memcpy", {"size": copied})
    goals = [
        Goal("memcpy", at_least, bytes_moved=moved, base_bytes=2 * copied),
        *(Goal(peer) for peer in PEERS),
    ]
    return Workload(TITLE, name, [limit, *cases(function, kwargs)], goals)


def workloads(quick: bool = False) -> list[Workload]:
    """All rows of the table. `quick` leaves out nothing here; it only means fewer rounds."""
    del quick
    size = FLOAT_BYTES * math.prod(SHAPE)
    batch, channels, height, width = SHAPE
    text = f"{batch}×{channels}×{height}²"
    rows = []
    # Forward reads x and writes y; backward reads y and dy and writes dx.
    for backward, moved, at_least in ((False, 2 * size, 0.8), (True, 5 * size, 0.7)):
        name = f"bias_act {text}, {direction(backward)}"
        kwargs = {"shape": SHAPE, "backward": backward}
        rows.append(memory_bound(name, "bias_act", kwargs, moved, at_least))
    half = [batch, channels, height // 2, width // 2]
    modes = (
        ("up2", half, size + size // 4, 0.8),
        ("down2", SHAPE, size + size // 4, 0.5),
        ("blur", SHAPE, 2 * size, 0.5),
    )
    for mode, shape, moved, at_least in modes:
        for backward in (False, True):
            kwargs = {"shape": shape, "mode": mode, "backward": backward}
            rows.append(
                memory_bound(
                    f"upfirdn2d [1,3,3,1] {mode} {text}, {direction(backward)}",
                    "upfirdn2d",
                    kwargs,
                    2 * moved if backward else moved,
                    None if backward else at_least,
                )
            )
    for channels, side in LAYERS:
        for backward, at_least in ((False, 2.2), (True, 2.0)):
            kwargs = {"batch": 4, "channels": channels, "size": side, "backward": backward}
            bare = {
                f"{name}, bare conv2d": Case(
                    f"{name}, bare conv2d", variant, target(variant, "conv2d"), kwargs
                )
                for name, variant in PEERS.items()
                if variant != "paddle"
            }
            rows.append(
                Workload(
                    TITLE,
                    f"modulated conv 3×3 4×{channels}×{side}², {direction(backward)}",
                    [*bare.values(), *cases("styled_layer", kwargs)],
                    [
                        Goal("PyTorch tuned, bare conv2d", at_least),
                        Goal("PyTorch, bare conv2d"),
                        *(Goal(peer) for peer in PEERS),
                    ],
                )
            )
    for images, side in AUGMENTED:
        for backward in (False, True):
            kwargs = {"batch": images, "size": side, "backward": backward}
            rows.append(
                Workload(
                    TITLE,
                    f"augment (bgc, p = 0.6) {images}×3×{side}², {direction(backward)}",
                    cases("augment", kwargs),
                    [Goal("PyTorch tuned", 3), Goal("PyTorch"), Goal("Paddle", 5)],
                )
            )
    for noise in (False, True):
        for backward in (False, True):
            what = "every pixel at random" if noise else "regions"
            rows.append(
                Workload(
                    TITLE,
                    f"label conv 3×3 {label_text()}, {what}, {direction(backward)}",
                    cases("label_conv", {**LABEL_MAP, "noise": noise, "backward": backward}),
                    [Goal(peer) for peer in PEERS],
                )
            )
    for batch, channels, size in NORMALISED:
        for backward in (False, True):
            rows.append(
                Workload(
                    TITLE,
                    f"SPADE norm {batch}×{channels}×{size}², {direction(backward)}",
                    cases(
                        "spade_norm",
                        {"batch": batch, "channels": channels, "size": size, "backward": backward},
                    ),
                    [Goal("PyTorch tuned"), Goal("PyTorch", 2), Goal("Paddle", 5)],
                )
            )
    return rows


def label_text() -> str:
    """The label convolution's sizes."""
    return "{batch}×{labels}→{channels}×{size}²".format(**LABEL_MAP)


def direction(backward: bool) -> str:
    return "forward + backward" if backward else "forward"


if __name__ == "__main__":
    main(["ops"])
