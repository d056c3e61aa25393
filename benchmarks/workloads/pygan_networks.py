"""pygan's side of the network suites: its own model and its own training engine."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np

from benchmarks.workloads.paddle_networks import inference
from pygan.algorithms.stylegan2 import StyleGAN2, StyleGAN2Config
from pygan.models.stylegan2 import Generator
from pygan.training import Phase, Trainer

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


def iteration(resolution: int, batch: int, channel_base: int) -> dict[str, Body]:
    """The phases of a training iteration, each as a step of the engine that has this one phase.

    Such a step also draws its random numbers, checks for values that are not finite, collects
    statistics and moves the average of the weights. The last happens once per iteration in
    training, but here with every phase: slightly too much is counted for pygan.
    """
    config = StyleGAN2Config(batch=batch, channel_base=channel_base, gamma=1.0, workers=0)
    data = FixedImages(resolution, batch)
    trainer = Trainer(config, StyleGAN2, data)
    batches = itertools.repeat((data.pixels, None))

    def run(phase: Phase) -> None:
        trainer.phases = [dataclasses.replace(phase, interval=1)]
        trainer.step(batches)

    # The phase names of the peers: 'G_main' is 'Gmain'.
    return {phase.name.replace("_", ""): functools.partial(run, phase) for phase in trainer.phases}
