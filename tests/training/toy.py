"""A small GAN of dense layers, to test the engine with.

Also a program that tests start and kill: ``python toy.py train RUN [--kimg 0.4 ...]`` and
``python toy.py resume RUN [--kimg 0.8 ...]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.errors import InputError, TrainingError
from pygan.training import Algorithm, DataSpec, Phase, State, Step, TrainConfig, lazy_adam, option
from pygan.training.options import parse_options, resolve
from pygan.training.run import find_run, resume, start
from pygan.training.schedule import linear_decay
from pygan.training.transfer import read_source


class MemoryDataset:
    """Random images in memory, with the interface of pygan.data.ImageDataset."""

    cached = True
    num_classes = 3

    def __init__(self, count: int = 37, shape: tuple[int, int, int] = (1, 4, 4), seed: int = 0):
        random = np.random.RandomState(seed)
        self.image_shape = shape
        self.labels = random.randint(0, self.num_classes, count)
        self._images = random.randint(0, 256, (count, *shape)).astype(np.uint8)
        self.fingerprint = f"memory-{count}-{seed}"

    def __len__(self) -> int:
        return len(self._images)

    @property
    def originals(self) -> int:
        return len(self)

    def take(self, positions: Sequence[int]) -> MemoryDataset:
        part = MemoryDataset()
        part._images, part.labels = self._images[list(positions)], self.labels[list(positions)]
        part.fingerprint = f"{self.fingerprint}-{list(positions)}"
        return part

    def load(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return self._images[list(indices)], self.labels[list(indices)]


@dataclass
class ToyConfig(TrainConfig):
    """Options of the toy."""

    presets: ClassVar[tuple[str, ...]] = ("small", "wide")

    preset: str = option("small", "named set of defaults")
    batch: int = option(8, "images per step, over all processes")
    workers: int = option(0, "processes that decode images", resumable=True)
    grid: str = option("2x2", "sample grid")
    width: int = option(8, "hidden units")
    dropout: float = option(0.25, "dropout of the discriminator")
    poison: int = option(-1, "iteration in which the loss becomes NaN")
    delay: float = option(0.0, "seconds that each iteration takes", resumable=True)
    pause: float = option(0.0, "seconds that each measurement takes", resumable=True)
    overflow: int = option(-1, "iteration in which a gradient overflows")
    limits: bool = option(False, "limit gradients that are not finite")
    lr_decay: float = option(0.0, "part of the training in which the rate of D falls")

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        return {"width": 64} if preset == "wide" else {}


class Mlp(nn.Layer):
    def __init__(self, inputs: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, outputs)
        self.dropout = dropout
        self.register_buffer("calls", paddle.zeros([1]))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.no_grad():
            if self.training:
                paddle.assign(self.calls + 1, output=self.calls)
        x = paddle.tanh(self.first(x))
        if self.training and self.dropout > 0:  # F.dropout has no second-order gradient
            x = x * (paddle.rand(x.shape) >= self.dropout).astype(x.dtype) / (1 - self.dropout)
        return self.second(x)


class Toy(Algorithm):
    """Two main phases, one lazy one that needs second-order gradients, and a running mean."""

    name: ClassVar[str] = "toy"
    Config: ClassVar[type[TrainConfig]] = ToyConfig
    network_names: ClassVar[tuple[str, ...]] = ("G", "D")
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    config: ToyConfig

    def __init__(self, config: ToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.mean = paddle.zeros([1])
        self.count = np.zeros([1], dtype=np.int64)
        self.seen: list[paddle.Tensor] = []

    @classmethod
    def build(cls, name: str, config: ToyConfig, data: DataSpec) -> nn.Layer:
        pixels = int(np.prod(data.image_shape))
        if name == "G":
            return Mlp(4, config.width, pixels, 0.0)
        return Mlp(pixels, config.width, 1, config.dropout)

    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        return lazy_adam(self.networks[name].parameters(), 1e-3, 0.5, 0.99, 1e-8, 3)

    def learning_rates(self, nimg: int) -> dict[str, float]:
        return {"D": 1e-3 * linear_decay(nimg, self.config.kimg, self.config.lr_decay)}

    def phases(self) -> list[Phase]:
        return [
            Phase("G_main", "G", self.generator_loss, end=self.update_mean),
            Phase("D_main", "D", self.discriminator_loss),
            Phase("D_reg", "D", self.penalty, interval=3, gain=3),
        ]

    def state(self) -> dict[str, State]:
        return {"mean": self.mean, "count": self.count}

    def end_iteration(self, iteration: int) -> None:
        self.count += 1
        assert self.count == iteration

    @property
    def limits_gradients(self) -> bool:
        return self.config.limits

    def generate(self, step: Step) -> paddle.Tensor:
        return paddle.tanh(self.networks["G"](paddle.to_tensor(step.random.normal("z", [4]))))

    def generator_loss(self, step: Step) -> paddle.Tensor:
        time.sleep(self.config.delay)
        fakes = self.generate(step)
        self.seen.append(fakes.detach().mean())
        loss = F.softplus(-self.networks["D"](fakes)).mean()
        if step.nimg == self.config.overflow * self.config.batch:
            loss = loss + paddle.sqrt(self.networks["G"].second.bias * 0).sum()  # 0, slope NaN
        poisoned = step.nimg == self.config.poison * self.config.batch
        return loss * float("nan") if poisoned else loss

    def discriminator_loss(self, step: Step) -> paddle.Tensor:
        with paddle.no_grad():
            fakes = self.generate(step)
        real = self.networks["D"](step.real.images.reshape([len(step), -1]))
        step.report("signs", paddle.sign(real))
        if step.held_out is not None:
            step.report("held_out", step.held_out.images)
        return F.softplus(self.networks["D"](fakes)).mean() + F.softplus(-real).mean()

    def penalty(self, step: Step) -> paddle.Tensor:
        x = step.real.images.reshape([len(step), -1]).detach()
        x.stop_gradient = False
        (gradient,) = paddle.grad([self.networks["D"](x).sum()], [x], create_graph=True)
        return paddle.square(gradient).sum(axis=1).mean()

    def update_mean(self, steps: Sequence[Step]) -> None:
        new = steps[0].world.mean(paddle.stack(self.seen).mean())
        self.seen.clear()
        paddle.assign(self.mean * 0.9 + new * 0.1, output=self.mean)

    @classmethod
    def sample(
        cls,
        networks: Mapping[str, nn.Layer],
        config: ToyConfig,
        seeds: Sequence[int],
        labels: Optional[np.ndarray],
        *,
        truncation: float = 1.0,
        noise: str = "const",
    ) -> paddle.Tensor:
        z = np.stack([np.random.RandomState(seed).randn(4) for seed in seeds]).astype(np.float32)
        return paddle.tanh(networks["G"](paddle.to_tensor(z))).reshape([len(seeds), 1, 4, 4])


def evaluator(config: ToyConfig) -> Optional[ToyEvaluator]:
    return ToyEvaluator(config) if config.metrics else None


class ToyEvaluator:
    """Measures something of the weights, uses random numbers, and takes its time."""

    def __init__(self, config: ToyConfig) -> None:
        self.config = config

    def __call__(self, networks: Mapping[str, nn.Layer]) -> dict[str, float]:
        paddle.seed(1)
        time.sleep(self.config.pause)
        distance = (networks["G"].second.bias - 0.01).abs().sum()
        values = {"kid": (distance + paddle.rand([])).item()}
        if self.config.metrics == "broken":
            raise MemoryError("too little of it")
        return {**values, "precision": float(networks["G"].second.weight.mean())}


def main(argv: Sequence[str]) -> int:
    command, folder, *options = argv
    data = MemoryDataset()
    given = parse_options(ToyConfig, [*options, "--out", folder], "toy", "toy")
    try:
        if command == "train":
            source = read_source(Path(given["resume"])) if "resume" in given else None
            known = None if source is None else source.config
            config = resolve(ToyConfig, {"data": "memory", **given}, 4, 1, known)
            outcome = start(config, Toy, data, source, evaluator(config))
        else:
            _, config, saved = find_run(Path(folder), lambda name: Toy)
            config = ToyConfig.from_dict({**config.to_dict(), **given})
            outcome = resume(config, Toy, data, saved, evaluator=evaluator(config))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 128 + outcome.signal if outcome.reason == "signal" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
