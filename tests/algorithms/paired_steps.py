"""Steps of paired batches, for tests of losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pygan.training import RealBatch, Step, StepRandom, World

LABELS = 3
SIZE = (32, 32)


def planes(batch: int, size: tuple[int, int] = SIZE, seed: int = 0) -> dict[str, np.ndarray]:
    """Images, label maps of large regions, instances and source images."""
    rng = np.random.RandomState(seed)
    height, width = size

    def regions(count: int) -> np.ndarray:
        coarse = rng.randint(0, count, (batch, height // 8, width // 8))
        return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint16)

    return {
        "pixels": rng.randint(0, 256, (batch, 3, height, width)).astype(np.uint8),
        "labelmaps": regions(LABELS),
        "instances": regions(7),
        "sources": rng.randint(0, 256, (batch, 1, height, width)).astype(np.uint8),
    }


def steps(
    phase: str,
    given: dict[str, np.ndarray],
    kinds: Sequence[str] = ("labelmaps", "instances"),
    rounds: int = 1,
    iteration: int = 0,
    nimg: int = 0,
) -> list[Step]:
    """The micro-batches of a phase, with these kinds of condition."""
    batch = len(given["pixels"])
    found = []
    for round_ in range(rounds):
        samples = list(range(round_, batch, rounds))
        condition: dict[str, Any] = {kind: given[kind][samples] for kind in kinds}
        real = RealBatch(given["pixels"][samples], None, **condition)
        random = StepRandom(0, phase, iteration, samples)
        found.append(Step(random, real, World(), rounds, nimg))
    return found
