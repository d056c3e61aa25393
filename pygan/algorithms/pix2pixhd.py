"""Training of Pix2PixHD: large images from label maps, or from other images.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs".
y is made of the label map or source of x, and of features of its instances, if there are any.

=====  =======  ==================================================================================
phase  network  loss
=====  =======  ==================================================================================
G      G        sum over scales of g(D(y), 1) + 10 feature matching / scales + 10 perceptual
                distance of y and x
D      D        sum over scales of (g(D(y), 0) + g(D(x), 1)) / 2
=====  =======  ==================================================================================

g is the squared difference (LSGAN) by default. Feature matching counts every layer 4 / (layers + 1)
times. Both phases of an iteration see the same y.

A run with enhancers may start from the weights of one without (``--resume``) and holds them while
the enhancer begins to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

import paddle
from paddle import nn

from pygan.algorithms.pix2pixhd_config import Pix2PixHDConfig
from pygan.algorithms.translation import (
    discriminator_loss,
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
from pygan.models.instance_features import FeatureBank
from pygan.models.multiscale_discriminator import MultiscaleDiscriminator
from pygan.models.pix2pixhd import CoarseToFineGenerator, FeatureEncoder
from pygan.training import (
    Algorithm,
    Condition,
    DataSpec,
    Phase,
    Step,
    TrainConfig,
    lazy_adam,
)
from pygan.training.schedule import linear_decay


class Pix2PixHDNetwork(nn.Layer):
    """The generator, and encoder and clusters of features if there are any.

    Attributes:
        generator: makes images.
        encoder: finds the features of instances in images, or None.
        bank: features to choose from where there is no image, or None.
    """

    def __init__(
        self,
        generator: CoarseToFineGenerator,
        encoder: Optional[FeatureEncoder],
        bank: Optional[FeatureBank],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.encoder = encoder
        self.bank = bank


class Pix2PixHD(Algorithm):
    """Pix2PixHD, coarse or with local enhancers, with or without features of instances."""

    name: ClassVar[str] = "pix2pixhd"
    Config: ClassVar[type[TrainConfig]] = Pix2PixHDConfig
    network_names: ClassVar[tuple[str, ...]] = ("G", "D")
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    conditions: ClassVar[tuple[str, ...]] = ("labelmaps", "sources")

    config: Pix2PixHDConfig

    def __init__(self, config: Pix2PixHDConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.network: Any = self.networks["G"]
        self.generator = self.network.generator
        self.discriminator = self.networks["D"]
        self.perceptual = open_perceptual(config.perceptual if config.perceptual_weight else "none")
        self._fakes: list[paddle.Tensor] = []  # of the first phase, for the second one
        self._features: list[tuple[paddle.Tensor, paddle.Tensor]] = []

    @classmethod
    def build(cls, name: str, config: Pix2PixHDConfig, data: DataSpec) -> nn.Layer:
        channels, height, width = data.image_shape
        maps = int(config.edges and data.instances) + data.source_channels
        if name == "D":
            return MultiscaleDiscriminator(
                data.label_count,
                maps + channels,
                scales=config.d_scales,
                base=config.d_channel_base,
                halvings=config.d_layers,
            )
        if config.features and not data.label_count:
            raise InputError("--features: needs label maps, which the dataset does not have")
        features = config.feature_channels if config.features else 0
        generator = CoarseToFineGenerator(
            data.label_count,
            maps + features,
            channels,
            base=config.channel_base,
            downs=config.downs,
            blocks=config.blocks,
            enhancers=config.enhancers,
            local_blocks=config.local_blocks,
        )
        if height % generator.multiple or width % generator.multiple:
            raise InputError(
                f"images of {width} x {height}: both sides must be multiples of "
                f"{generator.multiple} with --downs {config.downs} and --enhancers "
                f"{config.enhancers}; choose with --load-size and --crop"
            )
        if not config.features:
            return Pix2PixHDNetwork(generator, None, None)
        encoder = FeatureEncoder(channels, features, base=config.e_channel_base, downs=config.downs)
        bank = FeatureBank(data.label_count, config.feature_clusters, features)
        return Pix2PixHDNetwork(generator, encoder, bank)

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
            Phase("G", "G", self.generator_loss, begin=self._hold, end=self._follow_features),
            Phase("D", "D", self.discriminator_loss),
        ]

    # Losses -----------------------------------------------------------------------------------

    def generator_loss(self, step: Step) -> paddle.Tensor:
        """The sum that the table above tells."""
        config = self.config
        reals = step.real.images
        labels, maps = network_input(step.real.condition, config.edges)
        fakes = self.generator(labels, join(maps, self._encode(step)))
        self._fakes.append(fakes.detach())
        seen = self.discriminator(labels, join(maps, fakes))
        total = paddle.add_n([generator_loss(config.gan, scale[-1]) for scale in seen])
        step.report("adversarial", total)
        if config.fm_weight > 0:
            with paddle.no_grad():
                expected = self.discriminator(labels, join(maps, reals))
            matching = feature_matching(seen, expected) * (4 / (config.d_layers + 1) / len(seen))
            step.report("feature_matching", matching)
            total = total + config.fm_weight * matching
        if self.perceptual is not None:
            distance = perceptual_loss(self.perceptual, fakes, reals)
            step.report("perceptual", distance)
            total = total + config.perceptual_weight * distance
        return total

    def discriminator_loss(self, step: Step) -> paddle.Tensor:
        """The sum over scales of (g(D(y), 0) + g(D(x), 1)) / 2."""
        labels, maps = network_input(step.real.condition, self.config.edges)
        fakes = self._fakes.pop(0)
        images = join(twice(maps), paddle.concat([fakes, step.real.images]))
        fake, real = halves(self.discriminator(twice(labels), images))
        losses = []
        for name, layers in (("fake", fake), ("real", real)):
            logits = [scale[-1] for scale in layers]
            losses += [discriminator_loss(self.config.gan, x, real=name == "real") for x in logits]
            step.report(f"scores/{name}", paddle.add_n([x.mean() for x in logits]) / len(logits))
        return paddle.add_n(losses) / 2

    def _encode(self, step: Step) -> Optional[paddle.Tensor]:
        """Features of the instances in the real images, which are remembered, or None."""
        if self.network.encoder is None:
            return None
        condition = step.real.condition
        labels, instances = condition.labelmaps, condition.instances
        assert labels is not None  # without label maps there are no features
        features = self.network.encoder(
            step.real.images, labels if instances is None else instances
        )
        self._features.append((features.detach(), labels))
        return features

    # The course of training -------------------------------------------------------------------

    def _hold(self, steps: Sequence[Step]) -> None:
        """Takes the coarse network out of training at first; the phase has just put it in."""
        self._fakes.clear()
        self._features.clear()
        if steps[0].nimg < self.config.hold_images:
            for parameter in self.generator.coarse_parameters():
                parameter.stop_gradient = True

    def _follow_features(self, steps: Sequence[Step]) -> None:
        """Moves the mean features of the classes towards those of the batch."""
        if self.network.bank is None:
            return
        sums = [self.network.bank.sums(*pair) for pair in self._features]
        self.network.bank.follow(steps[0].world.mean(paddle.add_n(sums)))

    # Images -----------------------------------------------------------------------------------

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Pix2PixHDConfig,
        seeds: Sequence[int],
        condition: Condition,
        style: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        labels, maps = network_input(condition, config.edges)
        network: Any = networks["G"]
        if style is not None:
            raise InputError(f"--style: {cls.name} takes no style; leave it out")
        features = None
        if network.bank is not None:
            ids = labels if condition.instances is None else condition.instances
            features = network.bank.choose(labels, ids, seeds)
        return network.generator(labels, join(maps, features))
