"""pygan's side of the network suites: its own model and its own training engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from benchmarks.workloads.paddle_networks import inference
from pygan.algorithms.stylegan2 import StyleGAN2, StyleGAN2Config
from pygan.models.stylegan2 import Generator
from pygan.training import Phase, RealBatch, Trainer
from pygan.training.ema import ema_beta, update_average

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
    """The phases of a training iteration, each as the engine runs it: drawing its random numbers,
    checking for values that are not finite, collecting statistics, stepping the optimiser."""
    config = StyleGAN2Config(batch=batch, channel_base=channel_base, gamma=1.0, workers=0)
    data = FixedImages(resolution, batch)
    trainer = Trainer(config, StyleGAN2, data)
    iterations = itertools.count()

    def run(phase: Phase) -> None:
        trainer.iteration = next(iterations)
        trainer._run_phase(phase, [RealBatch(data.pixels, None)])

    def average() -> None:
        beta = ema_beta(batch, trainer.nimg, config.ema_kimg, config.ema_rampup)
        for name, network in trainer.averages.items():
            update_average(network, trainer.networks[name], beta)

    # The phase names of the peers: 'G_main' is 'Gmain'.
    phases = {phase.name.replace("_", ""): phase for phase in trainer.phases}
    bodies: dict[str, Body] = {
        name: (lambda phase=phase: run(phase)) for name, phase in phases.items()
    }
    return {**bodies, "EMA": average}
