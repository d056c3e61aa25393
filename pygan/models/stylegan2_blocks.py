"""Building blocks of the StyleGAN2 networks: the layers that work at one resolution.

The three architectures are those of Karras et al. 2020, "Analyzing and improving the image quality
of StyleGAN", section 4.1: ``'orig'`` (a plain stack), ``'skip'`` (images of all sizes are summed
up) and ``'resnet'`` (residual connections).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Optional

import paddle
from paddle import nn

from pygan.nn import (
    Conv2dLayer,
    FullyConnectedLayer,
    SynthesisLayer,
    ToRGBLayer,
    fork,
    join,
    minibatch_stddev,
    to_type,
)
from pygan.ops import downsample2d, setup_filter, upsample2d


class SynthesisBlock(nn.Layer):
    """The layers of a generator that work at one resolution.

    The first block (``in_channels=0``) starts from a learned constant and has one convolution, the
    others double the resolution in ``conv0`` and refine in ``conv1``. ``torgb`` is present in every
    block of a ``'skip'`` generator, and in the last block of the others.

    ``half_type`` ('float16' or 'bfloat16') is the type of the features; ``None`` leaves it that of
    the weights, in which codes and image stay in any case.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        img_channels: int,
        is_last: bool,
        architecture: str = "skip",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
        half_type: Optional[str] = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.architecture = architecture
        self.half_type = half_type
        self.num_conv = 1 if in_channels == 0 else 2
        layer = functools.partial(
            SynthesisLayer,
            activation=activation,
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
        )
        if in_channels == 0:
            self.const = self.create_parameter(
                [out_channels, *size], default_initializer=nn.initializer.Normal()
            )
        else:
            self.conv0 = layer(in_channels, out_channels, w_dim, size, up=2)
        self.conv1 = layer(out_channels, out_channels, w_dim, size)
        self.torgb = None
        if is_last or architecture == "skip":
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp=conv_clamp)
        self.skip = None
        if in_channels > 0 and architecture == "resnet":
            self.skip = Conv2dLayer(
                in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter
            )
        if in_channels > 0 and architecture == "skip":
            self.register_buffer(
                "resample_filter", setup_filter(list(resample_filter)), persistable=False
            )

    @property
    def feature_type(self) -> paddle.dtype:
        """The type of the features, inside the block and behind it."""
        return getattr(paddle, self.half_type) if self.half_type else self.conv1.weight.dtype

    def forward(
        self,
        x: Optional[paddle.Tensor],
        img: Optional[paddle.Tensor],
        ws: Sequence[paddle.Tensor],
        noise: Sequence[Optional[paddle.Tensor]],
    ) -> tuple[paddle.Tensor, Optional[paddle.Tensor]]:
        """Features and image of the previous block -> features and image of this one.

        ``ws`` holds one code per convolution and one for ``torgb``; ``noise`` one map (or ``None``)
        per convolution.
        """
        if x is None:
            x = self.const.unsqueeze(0).expand([ws[0].shape[0], *self.const.shape])
            x = self.conv1(x, ws[0], noise[0])
        elif self.skip is not None:
            # The 1 / sqrt(2) of the residual sum is part of the two gains.
            residual, x = fork(to_type(x, self.feature_type))
            y = self.skip(residual, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[0], noise[0])
            x = join(y, self.conv1(x, ws[1], noise[1], gain=math.sqrt(0.5)))
        else:
            x = self.conv0(to_type(x, self.feature_type), ws[0], noise[0])
            x = self.conv1(x, ws[1], noise[1])
        if self.torgb is not None:
            x, features = fork(x)
            rgb = to_type(self.torgb(features, ws[self.num_conv]), ws[0].dtype)
            img = rgb if img is None else upsample2d(img, self.resample_filter) + rgb
        return x, img


class DiscriminatorBlock(nn.Layer):
    """The layers of a discriminator that work at one resolution and halve it.

    ``fromrgb`` is present in the first block (``in_channels=0``), and in every block of a
    ``'skip'`` discriminator. ``half_type`` is as for :class:`SynthesisBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        img_channels: int,
        architecture: str = "resnet",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
        half_type: Optional[str] = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.half_type = half_type
        layer = functools.partial(
            Conv2dLayer,
            activation=activation,
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
        )
        self.fromrgb = None
        if in_channels == 0 or architecture == "skip":
            self.fromrgb = layer(img_channels, mid_channels, 1)
        self.conv0 = layer(mid_channels, mid_channels, 3)
        self.conv1 = layer(mid_channels, out_channels, 3, down=2)
        self.skip = None
        if architecture == "resnet":
            self.skip = Conv2dLayer(
                mid_channels, out_channels, 1, bias=False, down=2, resample_filter=resample_filter
            )
        if architecture == "skip":
            self.register_buffer(
                "resample_filter", setup_filter(list(resample_filter)), persistable=False
            )

    @property
    def feature_type(self) -> paddle.dtype:
        """The type of the features, inside the block and behind it."""
        return getattr(paddle, self.half_type) if self.half_type else self.conv1.weight.dtype

    def forward(
        self, x: Optional[paddle.Tensor], img: Optional[paddle.Tensor]
    ) -> tuple[paddle.Tensor, Optional[paddle.Tensor]]:
        """Features and image at this resolution -> features and image at half of it."""
        if self.fromrgb is not None:
            assert img is not None
            y = self.fromrgb(to_type(img, self.feature_type))
            x = y if x is None else join(to_type(x, self.feature_type), y)
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        x = to_type(x, self.feature_type)
        if self.skip is None:
            return self.conv1(self.conv0(x)), img
        # The 1 / sqrt(2) of the residual sum is part of the two gains.
        residual, x = fork(x)
        y = self.skip(residual, gain=math.sqrt(0.5))
        return join(y, self.conv1(self.conv0(x), gain=math.sqrt(0.5))), img

    @property
    def layers(self) -> list[nn.Layer]:
        """The layers with weights, in the order in which freezing counts them."""
        found = (self.fromrgb, self.conv0, self.conv1, self.skip)
        return [layer for layer in found if layer is not None]


class DiscriminatorEpilogue(nn.Layer):
    """Minibatch deviation, convolution and two dense layers at the base resolution.

    Args:
        in_channels: channels of the features.
        out_dim: size of the output: 1, or the size of the label code that it is projected on.
        size: ``(height, width)`` of the features.
        img_channels: image channels.
        architecture: ``'orig'``, ``'skip'`` or ``'resnet'``; ``'skip'`` adds a last ``fromrgb``.
        activation: activation of the layers.
        mbstd_group_size: see :func:`pygan.nn.minibatch_stddev`.
        mbstd_num_channels: see :func:`pygan.nn.minibatch_stddev`; 0 leaves it out.
        conv_clamp: limit of the activations' magnitude, for half precision; ``None`` for no limit.
    """

    def __init__(
        self,
        in_channels: int,
        out_dim: int,
        size: tuple[int, int],
        img_channels: int,
        architecture: str = "resnet",
        activation: str = "lrelu",
        mbstd_group_size: Optional[int] = 4,
        mbstd_num_channels: int = 1,
        conv_clamp: Optional[float] = None,
    ) -> None:
        super().__init__()
        self.mbstd_group_size = mbstd_group_size
        self.mbstd_num_channels = mbstd_num_channels
        self.fromrgb = None
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, activation=activation)
        self.conv = Conv2dLayer(
            in_channels + mbstd_num_channels,
            in_channels,
            3,
            activation=activation,
            conv_clamp=conv_clamp,
        )
        self.fc = FullyConnectedLayer(
            in_channels * size[0] * size[1], in_channels, activation=activation
        )
        self.out = FullyConnectedLayer(in_channels, out_dim)

    def forward(self, x: paddle.Tensor, img: Optional[paddle.Tensor]) -> paddle.Tensor:
        """Features ``[N, in_channels, *size]`` to outputs ``[N, out_dim]``."""
        x = to_type(x, self.conv.weight.dtype)
        if self.fromrgb is not None:
            x = x + self.fromrgb(img)
        if self.mbstd_num_channels > 0:
            x = minibatch_stddev(x, self.mbstd_group_size, self.mbstd_num_channels)
        x = self.conv(x)
        return self.out(self.fc(x.reshape([x.shape[0], -1])))
