"""Training of GauGAN: images from label maps by spatially-adaptive normalisation.

Park et al. 2019, "Semantic image synthesis with spatially-adaptive normalization".

=====  =======  ==================================================================================
phase  network  loss
=====  =======  ==================================================================================
G      G        mean over scales of -D(y), + 10 feature matching / scales + 10 perceptual distance
                of y and x + 0.05 KL divergence of the codes of style, if there are any
D      D        mean over scales of max(0, 1 + D(y)) + max(0, 1 - D(x))
=====  =======  ==================================================================================

with y made of the label map of x, and of the style of x where there is an encoder. Learning rates
of two time scales (Heusel et al. 2017). Each phase begins with a step of power iteration in all
spectral norms, so that losses do not depend on how a batch is split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Optional

import numpy as np
import paddle
from paddle import nn

from pygan.algorithms.spade_config import SPADEConfig
from pygan.algorithms.translation import (
    discriminator_loss,
    divergence,
    feature_matching,
    generator_loss,
    halves,
    join,
    network_input,
    open_perceptual,
    perceptual_loss,
    twice,
)
from pygan.errors import InputError
from pygan.models.multiscale_discriminator import MultiscaleDiscriminator
from pygan.models.spade import SPADEGenerator, StyleEncoder, initialize, side_of_style
from pygan.nn.spectral_norm import hold, power_iteration
from pygan.training import (
    Algorithm,
    Condition,
    DataSpec,
    Phase,
    Step,
    StepRandom,
    TrainConfig,
    lazy_adam,
)
from pygan.training.schedule import linear_decay


class SPADENetwork(nn.Layer):
    """The generator, and the encoder of style if there is one: what is trained together."""

    def __init__(self, generator: SPADEGenerator, encoder: Optional[StyleEncoder]) -> None:
        super().__init__()
        self.generator = generator
        self.encoder = encoder


class SPADE(Algorithm):
    """GauGAN: from label maps, with or without a code of style."""

    name: ClassVar[str] = "spade"
    Config: ClassVar[type[TrainConfig]] = SPADEConfig
    network_names: ClassVar[tuple[str, ...]] = ("G", "D")
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    conditions: ClassVar[tuple[str, ...]] = ("labelmaps",)

    config: SPADEConfig

    def __init__(self, config: SPADEConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.generator: SPADEGenerator = self.networks["G"].generator
        self.encoder: Optional[StyleEncoder] = self.networks["G"].encoder
        self.discriminator = self.networks["D"]
        for network in self.networks.values():
            hold(network)
        self.perceptual = open_perceptual(config.perceptual if config.perceptual_weight else "none")

    @classmethod
    def build(cls, name: str, config: SPADEConfig, data: DataSpec) -> nn.Layer:
        channels, height, width = data.image_shape
        maps = int(config.edges and data.instances) + data.source_channels
        if name == "D":
            discriminator = MultiscaleDiscriminator(
                data.label_count,
                maps + channels,
                scales=config.d_scales,
                base=config.d_channel_base,
                halvings=config.d_layers - 1,
                spectral=True,
            )
            initialize(discriminator)
            return discriminator
        try:
            generator = SPADEGenerator(
                (height, width),
                data.label_count,
                maps,
                channels,
                base=config.channel_base,
                layers=config.layers,
                z_dim=config.z_dim if config.vae else 0,
                norm=config.norm,
                hidden=config.hidden,
            )
        except ValueError as error:  # a size that the network cannot have
            raise InputError(f"{error} Choose with --load-size and --crop.") from None
        encoder = None
        if config.vae:
            encoder = StyleEncoder(
                channels,
                base=config.e_channel_base,
                z_dim=config.z_dim,
                side=side_of_style((height, width)),
            )
        return SPADENetwork(generator, encoder)

    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        config = self.config
        return lazy_adam(
            self.networks[name].parameters(),
            config.g_lr if name == "G" else config.d_lr,
            config.beta1,
            config.beta2,
            config.epsilon,
            0,
        )

    def learning_rates(self, nimg: int) -> Mapping[str, float]:
        config = self.config
        factor = linear_decay(nimg, config.kimg, config.lr_decay)
        return {"G": config.g_lr * factor, "D": config.d_lr * factor}

    def phases(self) -> list[Phase]:
        return [
            Phase("G", "G", self.generator_loss, begin=self._iterate),
            Phase("D", "D", self.discriminator_loss, begin=self._iterate),
        ]

    # Losses -----------------------------------------------------------------------------------

    def generator_loss(self, step: Step) -> paddle.Tensor:
        """The sum that the table above tells."""
        config = self.config
        reals = step.real.images
        labels, maps = network_input(step.real.condition, config.edges)
        z, loss = None, None
        if self.encoder is not None:
            mean, log_variance = self.encoder(reals)
            z = _draw(mean, log_variance, step.random)
            kl = divergence(mean, log_variance)
            step.report("kl", kl)
            loss = config.kl_weight * kl
        fakes = self.generator(labels, maps, z)
        # Instance norms judge every image by itself: the real ones need no gradient, nor a place in
        # the same batch.
        seen = self.discriminator(labels, join(maps, fakes))
        adversarial = paddle.add_n([generator_loss("hinge", scale[-1]) for scale in seen])
        step.report("scores/fake", paddle.add_n([scale[-1].mean() for scale in seen]) / len(seen))
        total = adversarial / len(seen)
        if config.fm_weight > 0:
            with paddle.no_grad():
                expected = self.discriminator(labels, join(maps, reals))
            matching = feature_matching(seen, expected) / len(seen)
            step.report("feature_matching", matching)
            total = total + config.fm_weight * matching
        if self.perceptual is not None:
            distance = perceptual_loss(self.perceptual, fakes, reals)
            step.report("perceptual", distance)
            total = total + config.perceptual_weight * distance
        return total if loss is None else total + loss

    def discriminator_loss(self, step: Step) -> paddle.Tensor:
        """mean over scales of max(0, 1 + D(y)) + max(0, 1 - D(x))."""
        reals = step.real.images
        labels, maps = network_input(step.real.condition, self.config.edges)
        with paddle.no_grad():
            z = None
            if self.encoder is not None:
                mean, log_variance = self.encoder(reals)
                z = _draw(mean, log_variance, step.random)
            fakes = self.generator(labels, maps, z)
        images = join(twice(maps), paddle.concat([fakes, reals]))
        fake, real = halves(self.discriminator(twice(labels), images))
        losses = [discriminator_loss("hinge", scale[-1], real=False) for scale in fake]
        losses += [discriminator_loss("hinge", scale[-1], real=True) for scale in real]
        for name, layers in (("fake", fake), ("real", real)):
            mean = paddle.add_n([scale[-1].mean() for scale in layers]) / len(layers)
            step.report(f"scores/{name}", mean)
        return paddle.add_n(losses) / len(fake)

    def _iterate(self, steps: Sequence[Step]) -> None:
        for network in self.networks.values():
            power_iteration(network)

    # Images -----------------------------------------------------------------------------------

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: SPADEConfig,
        seeds: Sequence[int],
        condition: Condition,
        style: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        labels, maps = network_input(condition, config.edges)
        network = networks["G"]
        if network.encoder is None:
            if style is not None:
                raise InputError("--style: this model was trained without --vae; leave it out")
            return network.generator(labels, maps)
        if style is not None:
            z, _ = network.encoder(style)
            z = paddle.expand(z, [len(seeds), z.shape[1]])
        else:
            codes = [np.random.RandomState(seed).randn(config.z_dim) for seed in seeds]
            z = paddle.to_tensor(np.stack(codes).astype(np.float32))
        return network.generator(labels, maps, z)


def _draw(mean: paddle.Tensor, log_variance: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
    """Codes from N(mean, variance)."""
    noise = paddle.to_tensor(random.normal("style", [mean.shape[1]]))
    return mean + noise * paddle.exp(0.5 * log_variance)
