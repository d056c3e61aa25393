"""Training of StyleGAN2.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", with the presets of
Karras et al. 2020, "Training generative adversarial networks with limited data" (ADA). The
augmentation of the latter is in :mod:`pygan.algorithms.stylegan2_ada`. The optimisers of the
regularised networks are those of :func:`pygan.training.lazy_adam`.

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
from typing import Any, ClassVar, Optional

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.algorithms.stylegan2_config import StyleGAN2Config
from pygan.errors import InputError
from pygan.models.stylegan2 import Discriminator, Generator
from pygan.ops import no_weight_gradients
from pygan.training import (
    Algorithm,
    DataSpec,
    Phase,
    State,
    Step,
    StepRandom,
    TrainConfig,
    lazy_adam,
)


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
        self._freeze(config.freeze_d)

    def _freeze(self, count: int) -> None:
        """Takes the first layers of the discriminator out of training."""
        layers = self.discriminator.freezable_layers
        if count > len(layers):
            raise InputError(
                f"--freeze-d: this discriminator has {len(layers)} layers that can be frozen, "
                f"got {count}"
            )
        for layer in layers[:count]:
            for parameter in layer.parameters():
                parameter.stop_gradient = True

    @property
    def limits_gradients(self) -> bool:
        return self.config.half_type is not None

    @classmethod
    def build(cls, name: str, config: StyleGAN2Config, data: DataSpec) -> nn.Layer:
        channels, height, width = data.image_shape
        shared: dict[str, Any] = {
            "resolution": (height, width),
            "c_dim": data.num_classes,
            "channels": channels,
            "channel_base": config.channel_base,
            "channel_max": config.channel_max,
            "half_type": config.half_type,
            "half_resolutions": config.fp16_res,
            "conv_clamp": config.clamp,
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
                mapping_layers=config.d_mapping_layers,
                architecture=config.d_architecture,
                mbstd_group_size=config.mbstd_group,
                **shared,
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
            [p for p in self.networks[name].parameters() if not p.stop_gradient],
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

    def state(self) -> dict[str, State]:
        return {"pl_mean": self.pl_mean}

    # Losses -----------------------------------------------------------------------------------

    def generator_loss(self, step: Step) -> paddle.Tensor:
        """mean softplus(-D(G(z))): the non-saturating loss (Goodfellow et al. 2014)."""
        labels = self.data.random_labels(step.random)
        ws, w = self._map(step.random, labels)
        self._batch_w.append(w.detach().mean(axis=0, keepdim=True))
        fakes = self.augment(self._synthesize(ws, step.random), step.random)
        logits = self.discriminator(fakes, labels)
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
            fakes = self.augment(self._synthesize(ws, step.random), step.random.scoped("fake"))
            reals = self.augment(step.real.images, step.random.scoped("real"))
        fake_logits, real_logits = self._discriminate(fakes, labels, reals, step.real.labels)
        step.report("scores/fake", fake_logits)
        step.report("scores/real", real_logits)
        step.report("signs/real", paddle.sign(real_logits))
        self._judge_held_out(step)
        return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()

    def r1_loss(self, step: Step) -> paddle.Tensor:
        """gamma / 2 * mean over images of the squared norm of dD(x) / dx."""
        images = step.real.images.detach()
        images.stop_gradient = False
        logits = self.discriminator(self.augment(images, step.random), step.real.labels)
        step.report("signs/real", paddle.sign(logits))
        with no_weight_gradients():
            (gradient,) = paddle.grad([logits.sum()], [images], create_graph=True)
        penalty = paddle.square(gradient).sum(axis=[1, 2, 3])
        step.report("r1", penalty)
        return penalty.mean() * (self.config.gamma / 2)

    # Parts of the losses ----------------------------------------------------------------------

    def augment(self, images: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
        """What the discriminator sees of images [N, C, H, W]."""
        return images

    @paddle.no_grad()
    def _judge_held_out(self, step: Step) -> None:
        """Reports the scores of images that D was never trained on, where there are any."""
        if step.held_out is not None:
            images = self.augment(step.held_out.images, step.random.scoped("held_out"))
            logits = self.discriminator(images, step.held_out.labels)
            step.report("scores/held_out", logits)

    def _discriminate(
        self,
        fakes: paddle.Tensor,
        labels: Optional[paddle.Tensor],
        reals: paddle.Tensor,
        real_labels: Optional[paddle.Tensor],
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """D of fakes and of reals, in one pass, which needs the transforms of its weights once.

        Fakes and reals take turns in it: sample n is in the group n mod (N / G) of the minibatch
        deviation, so that a group has only fakes or only reals, and those that it would have had.
        """
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
