"""Training of Pix2Pix.

Isola et al. 2017, "Image-to-image translation with conditional adversarial networks". With source x
and image y, the discriminator seeing both:

=====  =======  ================================================================================
phase  network  loss, as the mean over the batch and over D's map of logits
=====  =======  ================================================================================
D      D        (g(D(x, G(x)), 0) + g(D(x, y), 1)) / 2
G      G        gan_weight * g(D(x, G(x)), 1) + l1_weight * |y - G(x)|
=====  =======  ================================================================================

g is the cross-entropy with the logit's sigmoid, or (Mao et al. 2017, "Least squares generative
adversarial networks") the squared difference. The generator has no latent code: what is random in
an image is dropout, which therefore stays on after training, as do the batch's own statistics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.algorithms.pix2pix_config import Pix2PixConfig
from pygan.errors import InputError
from pygan.models.pix2pix import PatchDiscriminator, ResnetGenerator, UNetGenerator, downs_for
from pygan.nn.norm import Normalization
from pygan.ops import instance_edges
from pygan.training import (
    Algorithm,
    Condition,
    DataSpec,
    Phase,
    RealBatch,
    Step,
    StepRandom,
    TrainConfig,
    lazy_adam,
)
from pygan.training.schedule import linear_decay

_SLACK = 0.125  # how much longer padding may make a side, for a deeper generator


class Pix2Pix(Algorithm):
    """Images from label maps or from other images."""

    name: ClassVar[str] = "pix2pix"
    Config: ClassVar[type[TrainConfig]] = Pix2PixConfig
    network_names: ClassVar[tuple[str, ...]] = ("G", "D")
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    conditions: ClassVar[tuple[str, ...]] = ("labelmaps", "sources")

    config: Pix2PixConfig

    def __init__(self, config: Pix2PixConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.generator = self.networks["G"]
        self.discriminator = self.networks["D"]
        self._fakes: Optional[paddle.Tensor] = None  # of the iteration's first phase

    @classmethod
    def channels(cls, config: Pix2PixConfig, data: DataSpec) -> tuple[int, int]:
        """Channels of the generator's input and of its output."""
        if config.direction == "BtoA":
            if data.label_count or not data.source_channels:
                raise InputError(
                    "--direction: BtoA makes source images, but the dataset has "
                    f"{data.condition_text or 'none'}; leave it out"
                )
            return data.image_shape[0], data.source_channels
        planes = data.source_channels + data.label_count + int(data.instances)
        return planes, data.image_shape[0]

    @classmethod
    def build(cls, name: str, config: Pix2PixConfig, data: DataSpec) -> nn.Layer:
        inputs, outputs = cls.channels(config, data)
        _, height, width = data.image_shape
        if name == "D":
            discriminator = PatchDiscriminator(
                outputs + (inputs if config.d_conditional else 0),
                layers=config.d_layers,
                channel_base=config.d_channel_base,
                norm=config.norm,
            )
            if min(height, width) < discriminator.smallest:
                raise InputError(
                    f"--d-layers: {config.d_layers} need images of {discriminator.smallest} "
                    f"pixels at least, but these are {width} x {height}; choose fewer"
                )
            return discriminator
        generator: nn.Layer
        if config.generator == "unet":
            deep = downs_for(height, width, _SLACK if config.pad else 0.0)
            generator = UNetGenerator(
                inputs,
                outputs,
                downs=max(deep, 2) if config.downs is None else config.downs,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                norm=config.norm,
                dropout=config.dropout_places,
                pad=config.pad,
            )
        else:
            generator = ResnetGenerator(
                inputs,
                outputs,
                blocks=int(config.generator[-1]),
                channel_base=config.channel_base,
                norm=config.norm,
                dropout=config.dropout_places,
                pad=config.pad,
            )
        try:
            generator.dropout_shapes(height, width)
        except ValueError as error:  # a size that it does not take
            raise InputError(f"--data: {error}; see also --load-size, --crop and --pad") from None
        # Of what the generator needs to know of its input when only it is loaded.
        generator.label_count = data.label_count if config.direction == "AtoB" else 0
        return generator

    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        config = self.config
        parameters = self.networks[name].parameters()
        return lazy_adam(parameters, config.lr, config.beta1, config.beta2, config.epsilon, 0)

    def learning_rates(self, nimg: int) -> dict[str, float]:
        rate = self.config.lr * linear_decay(nimg, self.config.kimg, self.config.lr_decay)
        return {"G": rate, "D": rate}

    def phases(self) -> list[Phase]:
        generator = Phase("G", "G", self.generator_loss)
        if self.config.gan_weight == 0:
            return [generator]
        return [Phase("D", "D", self.discriminator_loss), generator]

    # Losses -----------------------------------------------------------------------------------

    def discriminator_loss(self, step: Step) -> paddle.Tensor:
        """Half the adversarial loss of a made image and of a real one, each with its source."""
        source, image = self.pair(step.real)
        if step.rounds == 1:
            # G's phase, which follows with the same G, goes on from these.
            with _trainable(self.generator):
                self._fakes = self.translate(source, step)
            fakes = self._fakes.detach()
        else:
            with paddle.no_grad(), batch_statistics(self.generator):
                fakes = self.translate(source, step)
        fake_logits = self.judge(source, fakes)
        real_logits = self.judge(source, image)
        step.report("scores/fake", fake_logits)
        step.report("scores/real", real_logits)
        return (self.adversarial(fake_logits, False) + self.adversarial(real_logits, True)) / 2

    def generator_loss(self, step: Step) -> paddle.Tensor:
        """The adversarial loss with the other answer, and the mean absolute difference."""
        config = self.config
        source, image = self.pair(step.real)
        fakes, self._fakes = self._fakes, None
        if fakes is None:
            fakes = self.translate(source, step)
        l1 = (fakes - image).abs().mean()
        step.report("l1", l1)
        loss = l1 * config.l1_weight
        if config.gan_weight > 0:
            adversarial = self.adversarial(self.judge(source, fakes), True)
            step.report("adversarial", adversarial)
            loss = loss + adversarial * config.gan_weight
        return loss

    def pair(self, real: RealBatch) -> tuple[paddle.Tensor, paddle.Tensor]:
        """What G is given and what it shall make of it, both [N, C, H, W]."""
        if self.config.direction == "BtoA":
            return real.images, real.sources
        return self.encode(self.generator, real.condition), real.images

    def translate(self, source: paddle.Tensor, step: Step) -> paddle.Tensor:
        """G of the sources of a step; its dropout is the same in all phases of an iteration."""
        shapes = self.generator.dropout_shapes(*source.shape[2:])
        random = step.random.shared("dropout")
        return self.generator(source, _masks(random, shapes))

    def judge(self, source: paddle.Tensor, image: paddle.Tensor) -> paddle.Tensor:
        """D's map of logits."""
        seen = paddle.concat([source, image], axis=1) if self.config.d_conditional else image
        return self.discriminator(seen)

    def adversarial(self, logits: paddle.Tensor, real: bool) -> paddle.Tensor:
        """How far D is from an answer."""
        if self.config.gan == "lsgan":
            return paddle.square(logits - 1 if real else logits).mean()
        return F.softplus(-logits if real else logits).mean()

    # Making images ----------------------------------------------------------------------------

    @classmethod
    def encode(cls, generator: nn.Layer, condition: Condition) -> paddle.Tensor:
        """A condition as planes [N, C, H, W]: source image, classes one-hot, edges of instances."""
        planes = [] if condition.sources is None else [condition.sources]
        if condition.labelmaps is not None:
            one_hot = F.one_hot(condition.labelmaps, generator.label_count)
            planes.append(one_hot.transpose([0, 3, 1, 2]))
        if condition.instances is not None:
            planes.append(instance_edges(condition.instances))
        return planes[0] if len(planes) == 1 else paddle.concat(planes, axis=1)

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Pix2PixConfig,
        seeds: Sequence[int],
        condition: Condition,
        style: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        if style is not None:
            raise InputError(f"--style: {cls.name} takes no style; leave it out")
        generator = networks["G"]
        source = cls.encode(generator, condition)
        masks = None
        if config.dropout == "on":
            shapes = generator.dropout_shapes(*source.shape[2:])
            draws = [_masks(StepRandom(seed, "sample", 0, [0]), shapes) for seed in seeds]
            masks = [paddle.concat(parts) for parts in zip(*draws)]
        if config.norm_stats == "running":
            with _evaluating(generator):
                return generator(source, masks)
        # Each image has statistics of its own, as if it were made alone.
        with batch_statistics(generator):
            images = [
                generator(source[i : i + 1], masks and [mask[i : i + 1] for mask in masks])
                for i in range(len(seeds))
            ]
        return paddle.concat(images)

    @classmethod
    def source_channels(cls, config: Pix2PixConfig, data: DataSpec) -> int:
        return data.image_shape[0] if config.direction == "BtoA" else data.source_channels

    @classmethod
    def condition_of(cls, real: RealBatch, config: Pix2PixConfig) -> Condition:
        if config.direction == "BtoA":
            return Condition(sources=real.images)
        return real.condition

    @classmethod
    def target_of(cls, real: RealBatch, config: Pix2PixConfig) -> paddle.Tensor:
        return real.sources if config.direction == "BtoA" else real.images


def _masks(random: StepRandom, shapes: Sequence[tuple[int, int, int]]) -> list[paddle.Tensor]:
    """Masks of dropout: each number is 0 or 2, with equal probability."""
    return [paddle.to_tensor(2 * coins) for coins in random.coins("masks", shapes)]


@contextlib.contextmanager
def batch_statistics(network: nn.Layer) -> Iterator[None]:
    """Batch normalisation by the batch's own statistics, without a trace in the running ones."""
    norms = [layer for layer in network.sublayers() if isinstance(layer, Normalization)]
    before = [norm.batch_statistics_in_eval for norm in norms]
    for norm in norms:
        norm.batch_statistics_in_eval = True
    try:
        with _evaluating(network):
            yield
    finally:
        for norm, value in zip(norms, before):
            norm.batch_statistics_in_eval = value


@contextlib.contextmanager
def _evaluating(network: nn.Layer) -> Iterator[None]:
    """A network in evaluation mode."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        if training:
            network.train()


@contextlib.contextmanager
def _trainable(network: nn.Layer) -> Iterator[None]:
    """Records the graph of a network that the engine has frozen for the phase of another."""
    frozen = [p for p in network.parameters() if p.stop_gradient]
    for parameter in frozen:
        parameter.stop_gradient = False
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.stop_gradient = True
