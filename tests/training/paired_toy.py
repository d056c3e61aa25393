"""A small conditional network, to test what paired datasets add to the engine.

Its state sums what the losses saw, so that two runs with equal states saw the same pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.training import (
    Algorithm,
    Condition,
    DataSpec,
    PairedConfig,
    Phase,
    State,
    Step,
    TrainConfig,
    lazy_adam,
    option,
)


@dataclass
class PairedToyConfig(PairedConfig):
    """Options of the toy."""

    batch: int = option(4, "images per step, over all processes")
    workers: int = option(0, "processes that decode images", resumable=True)
    grid: str = option("2x2", "sample grid")


class PairedToy(Algorithm):
    """One 1x1 convolution from what there is to the image."""

    name: ClassVar[str] = "paired-toy"
    Config: ClassVar[type[TrainConfig]] = PairedToyConfig
    network_names: ClassVar[tuple[str, ...]] = ("G",)
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    conditions: ClassVar[tuple[str, ...]] = ("labelmaps", "sources")

    def __init__(self, config: PairedToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.seen = np.zeros([4], dtype=np.float64)

    @classmethod
    def build(cls, name: str, config: Any, data: DataSpec) -> nn.Layer:
        return nn.Conv2D(max(data.label_count, data.source_channels), data.image_shape[0], 1)

    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        return lazy_adam(self.networks[name].parameters(), 1e-2, 0.5, 0.99, 1e-8, 1)

    def phases(self) -> list[Phase]:
        return [Phase("G_main", "G", self.loss)]

    def state(self) -> dict[str, State]:
        return {"seen": self.seen}

    def loss(self, step: Step) -> paddle.Tensor:
        real = step.real
        assert (self.data.label_count == 0) == (real.condition.labelmaps is None)
        for i, plane in enumerate((real.images, *vars(real.condition).values())):
            if plane is not None:
                values = plane.numpy().astype(np.float64)
                weights = np.arange(1, values[0].size + 1).reshape(values[0].shape) % 97
                self.seen[i] += float((values * weights).sum())
        if step.held_out is not None:
            assert step.held_out.condition.labelmaps is not None
        return F.l1_loss(draw(self.networks["G"], real.condition), real.images)

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Any,
        seeds: Sequence[int],
        condition: Condition,
    ) -> paddle.Tensor:
        assert len(condition) == len(seeds)
        return draw(networks["G"], condition)


def draw(network: nn.Layer, condition: Condition) -> paddle.Tensor:
    if condition.sources is not None:
        return network(condition.sources)
    assert condition.labelmaps is not None
    one_hot = F.one_hot(condition.labelmaps, network.weight.shape[1])
    return network(one_hot.transpose([0, 3, 1, 2]))


def main(argv: Sequence[str], data: Optional[str] = None) -> int:
    """``python paired_toy.py train RUN --data PAIRS.zip ...`` or ``resume RUN ...``."""
    from pygan.data import open_dataset
    from pygan.training.options import parse_options, resolve
    from pygan.training.run import find_run, resume, start

    command, folder, *options = argv
    given = parse_options(PairedToyConfig, [*options, "--out", folder], "toy", "paired-toy")
    if command == "train":
        config = resolve(PairedToyConfig, given, 8, 1, None)
        start(config, PairedToy, open_dataset(config.data))
    else:
        _, found, saved = find_run(Path(folder), lambda name: PairedToy)
        config = PairedToyConfig.from_dict({**found.to_dict(), **given})
        resume(config, PairedToy, open_dataset(config.data), saved)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
