"""Pix2PixHD: coarse-to-fine generators and the encoder of instance features.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs".
Its discriminator is :class:`pygan.models.multiscale_discriminator.MultiscaleDiscriminator`.

Convolutions are followed by instance normalisation without parameters and a ReLU; borders are
reflected where the size stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import paddle
from paddle import nn

from pygan.nn.label_map import apply_first, first_conv, halve, halved
from pygan.nn.norm import InstanceNorm
from pygan.nn.plain_conv import PlainConv2D, PlainConvTranspose2D
from pygan.ops import instance_mean

_STEM = 7  # kernel of the first and the last convolution, reflected by 3


class ResidualBlock(nn.Layer):
    """``x + norm(conv(relu(norm(conv(x)))))``, 3 x 3 on reflected borders."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_0, self.conv_1 = (
            PlainConv2D(channels, channels, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        self.norm_0 = InstanceNorm(channels, activation="relu")
        self.norm_1 = InstanceNorm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return x + self.norm_1(self.conv_1(self.norm_0(self.conv_0(x))))


class Stem(nn.Layer):
    """7 x 7 on labels and maps, then ``downs`` convolutions 3 x 3 that halve the size.

    Channels: ``base``, doubled by every halving.
    """

    def __init__(self, label_count: int, extra_channels: int, base: int, downs: int) -> None:
        super().__init__()
        self.first = first_conv(
            label_count, extra_channels, base, _STEM, padding=_STEM // 2, padding_mode="reflect"
        )
        self.norm = InstanceNorm(base, activation="relu")
        self.downs = nn.Sequential(*[_halving(base * 2**i) for i in range(downs)])

    def forward(
        self, labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor]
    ) -> paddle.Tensor:
        """-> [N, base * 2^downs, H / 2^downs, W / 2^downs]."""
        return self.downs(self.norm(apply_first(self.first, labels, extra)))


def _halving(channels: int) -> nn.Layer:
    """[N, C, H, W] -> [N, 2 C, H / 2, W / 2]."""
    conv = PlainConv2D(channels, 2 * channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, InstanceNorm(2 * channels, activation="relu"))


def head(base: int, ups: int) -> nn.Sequential:
    """[N, base * 2^ups, H, W] -> [N, base, H * 2^ups, W * 2^ups], halving channels each time."""
    layers = []
    for width in (base * 2**i for i in reversed(range(ups))):
        conv = PlainConvTranspose2D(2 * width, width, 3, stride=2, padding=1, output_padding=1)
        layers.append(nn.Sequential(conv, InstanceNorm(width, activation="relu")))
    return nn.Sequential(*layers)


def to_image(base: int, channels: int) -> PlainConv2D:
    """7 x 7 to an image in (-1, 1)."""
    return PlainConv2D(
        base, channels, _STEM, padding=_STEM // 2, padding_mode="reflect", activation="tanh"
    )


class GlobalGenerator(nn.Layer):
    """The coarse network: stem, residual blocks, head.

    Args:
        label_count: labels of the maps; 0 for source images.
        extra_channels: dense channels beside them: edges, features, or the source image.
        channels: of the image.
        base: channels at full size.
        downs: halvings; sides are multiples of ``2 ** downs``.
        blocks: residual blocks at the smallest size.
        image_layer: whether the last convolution is there; as the coarse part of a
            :class:`CoarseToFineGenerator` it is not.
    """

    def __init__(
        self,
        label_count: int,
        extra_channels: int,
        channels: int = 3,
        *,
        base: int = 64,
        downs: int = 4,
        blocks: int = 9,
        image_layer: bool = True,
    ) -> None:
        super().__init__()
        self.stem = Stem(label_count, extra_channels, base, downs)
        self.blocks = nn.Sequential(*[ResidualBlock(base * 2**downs) for _ in range(blocks)])
        self.head = head(base, downs)
        self.multiple = 2**downs
        self.image = to_image(base, channels) if image_layer else None

    def forward(
        self, labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Images [N, C, H, W] in (-1, 1); without image layer, features [N, base, H, W].

        Args:
            labels: int [N, H, W], or None without labels.
            extra: [N, E, H, W], or None if there is nothing but labels.

        Raises:
            ValueError: the sides are not multiples of ``2 ** downs``.
        """
        check_sides("GlobalGenerator", labels, extra, self.multiple)
        x = self.head(self.blocks(self.stem(labels, extra)))
        return x if self.image is None else self.image(x)


class Enhancer(nn.Layer):
    """What a :class:`CoarseToFineGenerator` adds to a coarser network, at twice its size."""

    def __init__(self, label_count: int, extra_channels: int, base: int, blocks: int) -> None:
        super().__init__()
        self.stem = Stem(label_count, extra_channels, base, 1)
        self.blocks = nn.Sequential(*[ResidualBlock(base * 2) for _ in range(blocks)])
        self.head = head(base, 1)

    def forward(
        self,
        coarse: paddle.Tensor,
        labels: Optional[paddle.Tensor],
        extra: Optional[paddle.Tensor],
    ) -> paddle.Tensor:
        """Features [N, 2 base, H / 2, W / 2] of the coarser network -> [N, base, H, W]."""
        return self.head(self.blocks(self.stem(labels, extra) + coarse))


class CoarseToFineGenerator(nn.Layer):
    """A global generator on smaller input, and enhancers that double the size one after another.

    Args:
        label_count, extra_channels, channels: as for :class:`GlobalGenerator`.
        base: channels of the coarse network at its full size; every enhancer has half as many.
        downs, blocks: of the coarse network.
        enhancers: how many; without any this is the global generator, whose weights a generator
            with more of them takes over by name.
        local_blocks: residual blocks of each enhancer.
    """

    def __init__(
        self,
        label_count: int,
        extra_channels: int,
        channels: int = 3,
        *,
        base: int = 64,
        downs: int = 4,
        blocks: int = 9,
        enhancers: int = 1,
        local_blocks: int = 3,
    ) -> None:
        super().__init__()
        if enhancers < 0 or base % 2**enhancers:
            raise ValueError(
                f"CoarseToFineGenerator: `enhancers` is {enhancers} and `base` {base}; the number "
                "of enhancers must be 0 or more, and `base` divisible by 2 for each of them."
            )
        self.label_count = label_count
        self.multiple = 2 ** (downs + enhancers)
        self.coarse = GlobalGenerator(
            label_count,
            extra_channels,
            channels,
            base=base,
            downs=downs,
            blocks=blocks,
            image_layer=enhancers == 0,
        )
        widths = [base >> (i + 1) for i in range(enhancers)]
        self.enhancers = nn.LayerList(
            [Enhancer(label_count, extra_channels, width, local_blocks) for width in widths]
        )
        self.image = to_image(widths[-1], channels) if enhancers else None

    def forward(
        self, labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Images [N, C, H, W] in (-1, 1); arguments as for :class:`GlobalGenerator`.

        Raises:
            ValueError: the sides are not multiples of ``2 ** (downs + enhancers)``.
        """
        if self.image is None:
            return self.coarse(labels, extra)
        check_sides("CoarseToFineGenerator", labels, extra, self.multiple)
        levels: list[tuple[Optional[paddle.Tensor], Optional[paddle.Tensor]]] = [(labels, extra)]
        smaller = halved(labels, extra, self.label_count)
        for _ in self.enhancers:
            levels.append((None, smaller))
            smaller = halve(smaller) if len(levels) <= len(self.enhancers) else smaller
        x = self.coarse(*levels.pop())
        for enhancer in self.enhancers:
            x = enhancer(x, *levels.pop())
        return self.image(x)

    def coarse_parameters(self) -> list[paddle.Tensor]:
        """All but the last enhancer and the image: what is held while these begin to learn."""
        if self.image is None:
            return []
        local = {id(p) for part in (self.enhancers[-1], self.image) for p in part.parameters()}
        return [p for p in self.parameters() if id(p) not in local]


class FeatureEncoder(nn.Layer):
    """Images to a few numbers for every instance: an encoder-decoder, then means over instances.

    Args:
        channels: of the image.
        features: numbers per instance.
        base: channels at full size.
        downs: halvings; sides are multiples of ``2 ** downs``.
    """

    def __init__(
        self, channels: int = 3, features: int = 3, *, base: int = 16, downs: int = 4
    ) -> None:
        super().__init__()
        self.features = features
        self.stem = Stem(0, channels, base, downs)
        self.head = head(base, downs)
        self.image = to_image(base, features)
        self.multiple = 2**downs

    def forward(self, images: paddle.Tensor, instances: paddle.Tensor) -> paddle.Tensor:
        """Features [N, F, H, W], in (-1, 1) and the same all over an instance.

        Args:
            images: [N, C, H, W].
            instances: int [N, H, W]: ids of the instances, or labels where there are none.
        """
        check_sides("FeatureEncoder", None, images, self.multiple)
        return instance_mean(self.image(self.head(self.stem(None, images))), instances)


def check_sides(
    owner: str,
    labels: Optional[paddle.Tensor],
    extra: Optional[paddle.Tensor],
    multiple: int,
) -> None:
    """Raises ValueError unless the sides of the input are multiples of a number."""
    given = labels if labels is not None else extra
    assert given is not None
    sides: Sequence[int] = given.shape[-2:]
    if any(side % multiple for side in sides):
        raise ValueError(
            f"{owner}: the input is {sides[0]} x {sides[1]}; both sides must be multiples of "
            f"{multiple}."
        )
