"""Colourisation by Pix2Pix, from images alone.

Isola et al. 2017, section 4: the source is the lightness L* of an image, the target its a* and b*.
Networks see L / 50 - 1 and ab / 110. What is made of a source has exactly its lightness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Optional

import paddle
from paddle import nn

from pygan.algorithms.pix2pix import Pix2Pix
from pygan.algorithms.pix2pix_config import Pix2PixConfig
from pygan.errors import InputError
from pygan.nn.lab import lab_to_rgb, rgb_to_lab
from pygan.training import Condition, DataSpec, RealBatch

_L_SCALE, _AB_SCALE = 50.0, 110.0


class Pix2PixColorization(Pix2Pix):
    """Colours for grey images."""

    name: ClassVar[str] = "pix2pix-colorization"
    conditions: ClassVar[tuple[str, ...]] = ()  # any images will do

    @classmethod
    def channels(cls, config: Pix2PixConfig, data: DataSpec) -> tuple[int, int]:
        if data.image_shape[0] != 3:
            raise InputError(
                f"--data: {cls.name} needs images of 3 channels, these have {data.image_shape[0]}"
            )
        if config.direction != "AtoB":
            raise InputError(f"--direction: {cls.name} makes colours from lightness; leave it out")
        return 1, 2

    @classmethod
    def source_channels(cls, config: Pix2PixConfig, data: DataSpec) -> int:
        return 3  # of which only the lightness counts; grey ones become RGB

    def pair(self, real: RealBatch) -> tuple[paddle.Tensor, paddle.Tensor]:
        return split(real.images)

    @classmethod
    def condition_of(cls, real: RealBatch, config: Pix2PixConfig) -> Condition:
        return Condition(sources=grey(real.images))

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Pix2PixConfig,
        seeds: Sequence[int],
        condition: Condition,
        style: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        if condition.sources is None:
            raise InputError(f"{cls.name} makes colours for images: use --image")
        lightness = split(condition.sources)[0]
        colours = super().render(networks, config, seeds, Condition(sources=lightness), style)
        return merge(lightness, colours)


def split(images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """L / 50 - 1 [N, 1, H, W] and ab / 110 [N, 2, H, W] of sRGB or grey images in [-1, 1]."""
    rgb = images.tile([1, 3, 1, 1]) if images.shape[1] == 1 else images[:, :3]
    lab = rgb_to_lab(rgb)
    return lab[:, :1] / _L_SCALE - 1, lab[:, 1:] / _AB_SCALE


def merge(lightness: paddle.Tensor, colours: paddle.Tensor) -> paddle.Tensor:
    """The inverse of :func:`split`, [N, 3, H, W]; colours that sRGB lacks are limited to it."""
    return lab_to_rgb(paddle.concat([(lightness + 1) * _L_SCALE, colours * _AB_SCALE], axis=1))


def grey(images: paddle.Tensor) -> paddle.Tensor:
    """The grey images [N, 1, H, W] in [-1, 1] of the same lightness."""
    lightness = split(images)[0]
    return merge(lightness, paddle.zeros_like(lightness).tile([1, 2, 1, 1]))[:, :1]
