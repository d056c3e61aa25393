"""Training of StyleGAN2.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", with the presets of
Karras et al. 2020, "Training generative adversarial networks with limited data" (ADA), without its
augmentation. The regularised networks' optimisers are those of :func:`pygan.training.lazy_adam`.

=======  =======  ========  ====================================================================
phase    network  interval  loss, as the mean over the batch
=======  =======  ========  ====================================================================
G_main   G        1         softplus(-D(G(z)))
G_reg    G        4         4 * 2 * (|J^T y| - a)^2, path length against its running mean a
D_main   D        1         softplus(D(G(z))) + softplus(-D(x))
D_reg    D        16        16 * gamma / 2 * |dD(x) / dx|^2  (R1, Mescheder et al. 2018)
=======  =======  ========  ====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.errors import InputError
from pygan.models.stylegan2 import Discriminator, Generator
from pygan.ops import no_weight_gradients
from pygan.training import (
    Algorithm,
    DataSpec,
    Phase,
    Step,
    StepRandom,
    TrainConfig,
    lazy_adam,
    option,
)

# Config F of the StyleGAN2 paper and the set-ups of the ADA paper's appendix C.
_COLUMNS = ("batch", "mbstd_group", "channel_base", "lr", "gamma", "ema_kimg")
_PRESETS: dict[str, tuple[float, ...]] = {
    "stylegan2": (32, 4, 32768, 0.002, 10.0, 10.0),
    "paper256": (64, 8, 16384, 0.0025, 1.0, 20.0),
    "paper512": (64, 8, 32768, 0.0025, 0.5, 20.0),
    "paper1024": (32, 4, 32768, 0.002, 2.0, 10.0),
    "cifar": (64, 32, 32768, 0.0025, 0.01, 500.0),
}
_CIFAR = {
    "kimg": 100000.0,
    "ema_rampup": 0.05,
    "mapping_layers": 2,
    "pl_weight": 0.0,
    "mixing": 0.0,
    "d_architecture": "orig",
}

# For a few minutes on a CPU: small networks, and what speeds up the first thousand steps.
_DEMO = {
    "kimg": 200.0,
    "batch": 16,
    "mbstd_group": 4,
    "z_dim": 64,
    "w_dim": 128,
    "mapping_layers": 2,
    "channel_base": 1024,
    "channel_max": 64,
    "g_lr": 0.0025,
    "d_lr": 0.0025,
    "gamma": 4.0,
    "pl_weight": 0.0,
    "ema_kimg": 1.0,
    "tick": 2.0,
}


@dataclass
class StyleGAN2Config(TrainConfig):
    """Options of StyleGAN2."""

    presets: ClassVar[tuple[str, ...]] = ("auto", *_PRESETS, "demo")

    preset: str = option("auto", f"set of defaults: auto, {', '.join(_PRESETS)}, demo")
    z_dim: int = option(512, "size of the latent code z")
    w_dim: int = option(512, "size of the intermediate latent code w")
    mapping_layers: int = option(8, "layers of the mapping network")
    channel_base: int = option(32768, "feature maps are channel_base / resolution, at most ...")
    channel_max: int = option(512, "... channel_max")
    g_architecture: str = option("skip", "generator: skip, resnet or orig")
    d_architecture: str = option("resnet", "discriminator: resnet, skip or orig")
    mbstd_group: int = option(4, "images per group of the minibatch deviation")
    g_lr: float = option(0.002, "learning rate of the generator")
    d_lr: float = option(0.002, "learning rate of the discriminator")
    beta1: float = option(0.0, "Adam: decay of the first moment")
    beta2: float = option(0.99, "Adam: decay of the second moment")
    epsilon: float = option(1e-8, "Adam: epsilon")
    gamma: float = option(10.0, "weight of R1; 0 leaves it out")
    r1_interval: int = option(16, "iterations between R1 steps")
    pl_weight: float = option(2.0, "weight of path length regularisation; 0 leaves it out")
    pl_interval: int = option(4, "iterations between path length steps")
    pl_decay: float = option(0.01, "speed of the running mean of path lengths")
    pl_batch_shrink: int = option(2, "path length steps use the batch divided by this")
    mixing: float = option(0.9, "probability of style mixing")

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        if preset == "auto":
            return _auto_preset(resolution, batch, processes)
        if preset == "demo":
            return dict(_DEMO)
        if preset not in _PRESETS:
            raise InputError(
                f"--preset: unknown preset {preset!r}; choose from: {', '.join(cls.presets)}"
            )
        values: dict[str, Any] = dict(zip(_COLUMNS, _PRESETS[preset]))
        rate = values.pop("lr")
        return {**values, "g_lr": rate, "d_lr": rate, **(_CIFAR if preset == "cifar" else {})}

    def validate(self) -> None:
        super().validate()
        architectures = ("orig", "skip", "resnet")
        for name in ("g_architecture", "d_architecture"):
            self.require(getattr(self, name) in architectures, name, " or ".join(architectures))
        for name in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("mbstd_group", "r1_interval", "pl_interval", "pl_batch_shrink"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("g_lr", "d_lr", "epsilon"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("gamma", "pl_weight"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        for name in ("beta1", "beta2"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("mixing", "pl_decay"):
            self.require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")


def _auto_preset(resolution: int, batch: Optional[int], processes: int) -> dict[str, Any]:
    """ADA's heuristic for data of any size; what depends on the batch follows the one in force."""
    if batch is None:
        batch = max(min(processes * min(4096 // resolution, 32), 64), processes)
    per_process = max(batch // processes, 1)
    rate = 0.002 if resolution >= 1024 else 0.0025
    return {
        "batch": batch,
        "mbstd_group": max(group for group in range(1, 5) if per_process % group == 0),
        "channel_base": 32768 if resolution >= 512 else 16384,
        "g_lr": rate,
        "d_lr": rate,
        "gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "ema_rampup": 0.05,
        "mapping_layers": 2,
    }


class StyleGAN2(Algorithm):
    """StyleGAN2 with lazy R1 and path length regularisation, unconditional or conditional."""

    name: ClassVar[str] = "stylegan2"
    Config: ClassVar[type[TrainConfig]] = StyleGAN2Config
    network_names: ClassVar[tuple[str, ...]] = ("G", "D")
    averaged: ClassVar[tuple[str, ...]] = ("G",)

    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.generator = self.networks["G"]
        self.discriminator = self.networks["D"]
        self.pl_mean = paddle.zeros([1])
        self._new_pl_mean = self.pl_mean
        self._batch_w: list[paddle.Tensor] = []
        self._batch_length: Optional[paddle.Tensor] = None

    @classmethod
    def build(cls, name: str, config: StyleGAN2Config, data: DataSpec) -> nn.Layer:
        channels, height, width = data.image_shape
        shared: dict[str, Any] = {
            "resolution": (height, width),
            "c_dim": data.num_classes,
            "channels": channels,
            "channel_base": config.channel_base,
            "channel_max": config.channel_max,
        }
        try:
            if name == "G":
                return Generator(
                    z_dim=config.z_dim,
                    w_dim=config.w_dim,
                    mapping_layers=config.mapping_layers,
                    architecture=config.g_architecture,
                    **shared,
                )
            return Discriminator(
                architecture=config.d_architecture, mbstd_group_size=config.mbstd_group, **shared
            )
        except ValueError as error:  # a size that the networks cannot have
            raise InputError(f"{width} x {height} images: {error}") from None

    def check_split(self, samples: int) -> None:
        group = min(self.config.mbstd_group, samples)
        if samples % group:
            raise InputError(
                f"--mbstd-group: groups of {group} do not divide the {samples} images of a "
                "micro-batch (batch / processes / accumulate); choose a divisor"
            )

    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        config = self.config
        if name == "G":
            rate, interval = config.g_lr, config.pl_interval if config.pl_weight > 0 else 0
        else:
            rate, interval = config.d_lr, config.r1_interval if config.gamma > 0 else 0
        return lazy_adam(
            self.networks[name].parameters(),
            rate,
            config.beta1,
            config.beta2,
            config.epsilon,
            interval,
        )

    def phases(self) -> list[Phase]:
        config = self.config
        phases = [Phase("G_main", "G", self.generator_loss, end=self._update_w_avg)]
        if config.pl_weight > 0:
            phases.append(
                Phase(
                    "G_reg",
                    "G",
                    self.path_length_loss,
                    interval=config.pl_interval,
                    gain=config.pl_interval,
                    begin=self._measure_path_lengths,
                    end=self._update_pl_mean,
                )
            )
        phases.append(Phase("D_main", "D", self.discriminator_loss))
        if config.gamma > 0:
            phases.append(
                Phase(
                    "D_reg", "D", self.r1_loss, interval=config.r1_interval, gain=config.r1_interval
                )
            )
        return phases

    def state(self) -> dict[str, paddle.Tensor]:
        return {"pl_mean": self.pl_mean}

    # Losses -----------------------------------------------------------------------------------

    def generator_loss(self, step: Step) -> paddle.Tensor:
        """mean softplus(-D(G(z))): the non-saturating loss (Goodfellow et al. 2014)."""
        labels = self.data.random_labels(step.random)
        ws, w = self._map(step.random, labels)
        self._batch_w.append(w.detach().mean(axis=0, keepdim=True))
        logits = self.discriminator(self._synthesize(ws, step.random), labels)
        step.report("scores/fake", logits)
        return F.softplus(-logits).mean()

    def path_length_loss(self, step: Step) -> paddle.Tensor:
        """pl_weight * mean (l - a)^2, where ``a`` has already moved towards the batch's mean l."""
        lengths = self._path_lengths(step, create_graph=True)
        mean = self._batch_length
        if mean is None:
            mean = step.world.mean(lengths.mean())
        self._new_pl_mean = self.pl_mean + self.config.pl_decay * (mean - self.pl_mean)
        step.report("path_length", lengths)
        return self.config.pl_weight * paddle.square(lengths - self._new_pl_mean).mean()

    def discriminator_loss(self, step: Step) -> paddle.Tensor:
        """mean softplus(D(G(z))) + mean softplus(-D(x))."""
        labels = self.data.random_labels(step.random)
        with paddle.no_grad():
            ws, _ = self._map(step.random, labels)
            fakes = self._synthesize(ws, step.random)
        fake_logits, real_logits = self._discriminate(fakes, labels, step)
        step.report("scores/real", real_logits)
        step.report("signs/real", paddle.sign(real_logits))
        return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()

    def r1_loss(self, step: Step) -> paddle.Tensor:
        """gamma / 2 * mean over images of the squared norm of dD(x) / dx."""
        images = step.real.images.detach()
        images.stop_gradient = False
        logits = self.discriminator(images, step.real.labels)
        with no_weight_gradients():
            (gradient,) = paddle.grad([logits.sum()], [images], create_graph=True)
        penalty = paddle.square(gradient).sum(axis=[1, 2, 3])
        step.report("r1", penalty)
        return penalty.mean() * (self.config.gamma / 2)

    # Parts of the losses ----------------------------------------------------------------------

    def _discriminate(
        self, fakes: paddle.Tensor, labels: Optional[paddle.Tensor], step: Step
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """D of fakes and of reals, in one pass, which needs the transforms of its weights once.

        Fakes and reals take turns in it: sample n is in the group n mod (N / G) of the minibatch
        deviation, so that a group has only fakes or only reals, and those that it would have had.
        """
        reals, real_labels = step.real.images, step.real.labels
        count = fakes.shape[0]
        if count < self.config.mbstd_group:  # twice as many would make other groups
            return self.discriminator(fakes, labels), self.discriminator(reals, real_labels)

        def take_turns(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
            return paddle.stack([a, b], axis=1).reshape([2 * count, *a.shape[1:]])

        both_labels = None
        if labels is not None and real_labels is not None:
            both_labels = take_turns(labels, real_labels)
        logits = self.discriminator(take_turns(fakes, reals), both_labels)
        return logits[0::2], logits[1::2]

    def _map(
        self, random: StepRandom, labels: Optional[paddle.Tensor]
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Codes per layer after style mixing, [N, num_ws, w_dim], and before it, [N, w_dim].

        Mixing: with probability ``mixing``, the layers from a random one on take a second code.
        """
        mapping, count = self.generator.mapping, self.generator.num_ws
        z = random.normal("z", [self.config.z_dim])
        if self.config.mixing == 0:
            ws = mapping(paddle.to_tensor(z), labels)
            return ws, ws[:, 0]
        z = np.concatenate([z, random.normal("z_mixing", [self.config.z_dim])])
        both = None if labels is None else paddle.concat([labels, labels])
        first, second = paddle.split(mapping(paddle.to_tensor(z), both), 2)
        crossover = random.integers("crossover", 1, count)
        crossover[random.uniform("mixing") >= self.config.mixing] = count
        mask = (np.arange(count) < crossover[:, None]).astype(np.float32)[:, :, None]
        ws = first * paddle.to_tensor(mask) + second * paddle.to_tensor(1 - mask)
        return ws, first[:, 0]

    def _synthesize(self, ws: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
        synthesis = self.generator.synthesis
        maps = random.normals("noise", [(1, h, w) for h, w in synthesis.noise_shapes])
        return synthesis(ws, noise=[paddle.to_tensor(noise) for noise in maps])

    def _path_lengths(self, step: Step, create_graph: bool) -> paddle.Tensor:
        """[N]: root of the mean over layers of |d sum(G(w) * y) / dw|^2, y ~ N(0, 1) / sqrt(HW)."""
        random = step.random.first(max(len(step) // self.config.pl_batch_shrink, 1))
        ws, _ = self._map(random, self.data.random_labels(random))
        images = self._synthesize(ws, random)
        y = random.normal("path_length", images.shape[1:]) / math.sqrt(math.prod(images.shape[2:]))
        with no_weight_gradients():
            (gradient,) = paddle.grad(
                [(images * paddle.to_tensor(y)).sum()], [ws], create_graph=create_graph
            )
        return paddle.sqrt(paddle.square(gradient).sum(axis=2).mean(axis=1))

    # Running means ----------------------------------------------------------------------------

    def _update_w_avg(self, steps: Sequence[Step]) -> None:
        mean = paddle.concat(self._batch_w).mean(axis=0, keepdim=True)
        self._batch_w.clear()
        self.generator.mapping.update_w_avg(steps[0].world.mean(mean))

    def _measure_path_lengths(self, steps: Sequence[Step]) -> None:
        """The mean length of the batch, where one micro-batch does not tell it."""
        self._batch_length = None
        if len(steps) > 1:
            means = [self._path_lengths(step, create_graph=False).mean() for step in steps]
            self._batch_length = steps[0].world.mean(paddle.stack(means).mean())

    def _update_pl_mean(self, steps: Sequence[Step]) -> None:
        paddle.assign(self._new_pl_mean.detach(), output=self.pl_mean)

    # Sampling ---------------------------------------------------------------------------------

    @classmethod
    def sample(
        cls,
        networks: Mapping[str, nn.Layer],
        config: StyleGAN2Config,
        seeds: Sequence[int],
        labels: Optional[np.ndarray],
        *,
        truncation: float = 1.0,
        noise: str = "const",
    ) -> paddle.Tensor:
        generator = networks["G"]
        z = np.stack([np.random.RandomState(seed).randn(config.z_dim) for seed in seeds])
        c = None if labels is None else paddle.to_tensor(np.asarray(labels, dtype=np.int64))
        ws = generator.mapping(paddle.to_tensor(z.astype(np.float32)), c, truncation)
        if noise != "random":
            return generator.synthesis(ws, noise=noise)
        shapes = [(1, h, w) for h, w in generator.synthesis.noise_shapes]
        per_seed = [StepRandom(seed, "sample", 0, [0]).normals("noise", shapes) for seed in seeds]
        maps = [paddle.to_tensor(np.concatenate(parts)) for parts in zip(*per_seed)]
        return generator.synthesis(ws, noise=maps)
