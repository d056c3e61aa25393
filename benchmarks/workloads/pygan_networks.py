"""pygan's side of the network suites: its own model and its own training engine."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.workloads.paddle_networks import inference
from pygan.algorithms.stylegan2 import StyleGAN2, StyleGAN2Config
from pygan.models.stylegan2 import Generator
from pygan.training import Phase, RealBatch, Trainer

Body = Callable[[], object]


def generator(resolution: int, batch: int, channel_base: int) -> Body:
    """z -> images, constant noise, no graph."""
    return inference(Generator(resolution=resolution, channel_base=channel_base), batch)


class FixedImages:
    """A dataset of one batch of random images, in memory, so that no loader is timed."""

    num_classes = 0
    fingerprint = "random"

    def __init__(self, resolution: int, batch: int) -> None:
        self.image_shape = (3, resolution, resolution)
        random = np.random.default_rng(0)
        self.pixels = random.integers(0, 256, (batch, *self.image_shape), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.pixels)


class OnePhaseAtATime(StyleGAN2):
    """StyleGAN2 whose phases have different primes as intervals, so that the iteration's number
    decides which one runs. The losses keep the gains of the true intervals."""

    PRIMES = (2, 3, 5, 7)

    def phases(self) -> list[Phase]:
        phases = zip(self.PRIMES, super().phases())
        return [dataclasses.replace(phase, interval=prime) for prime, phase in phases]


def iteration(resolution: int, batch: int, channel_base: int) -> dict[str, Body]:
    """The phases of a training iteration, each as a step of the engine in which only it is due.

    Such a step also draws its random numbers, checks for values that are not finite, collects
    statistics and moves the average of the weights. The last happens once per iteration in
    training, but here with every phase: slightly too much is counted for pygan.
    """
    config = StyleGAN2Config(batch=batch, channel_base=channel_base, gamma=1.0, workers=0)
    data = FixedImages(resolution, batch)
    trainer = Trainer(config, OnePhaseAtATime, data)
    # A new one each time, for it keeps the images that it has converted.
    batches = ((RealBatch(data.pixels, None), None) for _ in itertools.count())
    product = math.prod(OnePhaseAtATime.PRIMES)

    def run(prime: int, turns: Iterator[int]) -> None:
        # A multiple of this prime and of none of the others.
        trainer.iteration = prime * (1 + product * next(turns))
        trainer.step(batches)

    # The phase names of the peers: 'G_main' is 'Gmain'.
    return {
        phase.name.replace("_", ""): functools.partial(run, phase.interval, itertools.count())
        for phase in trainer.algorithm.phases()
    }
