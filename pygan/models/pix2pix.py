"""Pix2Pix: generators that turn one image into another, and the PatchGAN discriminator.

Isola et al. 2017, "Image-to-image translation with conditional adversarial networks", section 6.1:
C64 means a 4 x 4 convolution of stride 2 with 64 maps, normalisation and rectifier; CD512 has
dropout besides.

=============  ===================================================================================
U-Net encoder  C64 (not normalised) C128 C256 C512 C512 C512 C512 C512 (not normalised); LReLU 0.2
U-Net decoder  CD512 CD512 CD512 C512 C256 C128 C64, transposed; ReLU; each takes the encoder's maps
               of its size along; at the end a convolution to the image and tanh
ResNet         c7-64 d128 d256, 6 or 9 residual blocks, u128 u64 c7-3, as CycleGAN has them
PatchGAN       C64 (not normalised) C128 C256 C512 (stride 1), a convolution to one map of logits
=============  ===================================================================================

Two programs of the authors differ in where dropout is: ``dropout='torch'`` is the paper's, behind
the three innermost stages of the decoder; ``'pytorch'`` leaves the innermost out and takes those of
512 maps up to 16 x 16. The weights are the same. Convolutions in front of a batch normalisation
have no bias (the paper's program sets it to zero at each step).
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from pygan.models.pix2pix_blocks import (
    Dropout,
    ResnetBlock,
    check_size,
    drop,
    make_norm,
    pad_below,
)
from pygan.nn.plain_conv import PlainConv2D, PlainConvTranspose2D
from pygan.ops import bias_act

DROPOUTS = ("torch", "pytorch", "none")
_MAX_DOWNS = 8  # of the paper's network for 256 x 256 pixels


def downs_for(height: int, width: int, slack: float = 0.0, limit: int = _MAX_DOWNS) -> int:
    """How often images can be halved, up to ``limit``: the depth of a U-Net for them.

    8 for 256 x 256 pixels (1 x 1 in the middle), 7 for 128 x 128, 6 for 64 x 64, 4 for 144 x 144.

    Args:
        height, width: of the images.
        slack: how much longer padding may make a side, relative to it: with 0.125, 144 x 144 pixels
            are halved 5 times, as 160 x 160.
        limit: the most.
    """

    def fits(downs: int) -> bool:
        return all(-side % 2**downs <= slack * side for side in (height, width))

    return max(downs for downs in range(limit + 1) if fits(downs))


class UNetGenerator(nn.Layer):
    """An encoder and a decoder, with connections between maps of the same size.

    Args:
        in_channels: channels of the source image.
        out_channels: channels of the image.
        downs: convolutions of stride 2, 2 at least; 8 for 256 x 256 pixels, 7 for 128 x 128.
            Width and height must be multiples of ``2 ** downs``.
        channel_base: maps of the first; they double up to ...
        channel_max: ... this number.
        norm: 'batch', whose convolutions have no bias, or 'instance', without a gain and with bias.
        dropout: 'torch', 'pytorch' or 'none': where it is.
        pad: let images of other sizes be padded at the right and bottom, and the result be cut.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        downs: int = 8,
        channel_base: int = 64,
        channel_max: int = 512,
        norm: str = "batch",
        dropout: str = "torch",
        pad: bool = False,
    ) -> None:
        super().__init__()
        if downs < 2:
            raise ValueError(f"UNetGenerator: `downs` is {downs}; it must be 2 or more.")
        if dropout not in DROPOUTS:
            raise ValueError(f"UNetGenerator: `dropout` is {dropout!r}; it must be in {DROPOUTS}.")
        self.downs = downs
        self.pad = pad
        bias = norm == "instance"
        maps = [min(channel_base << level, channel_max) for level in range(downs)]
        halves: dict[str, Any] = {"stride": 2, "padding": 1}

        self.encoder = nn.LayerList()
        self.encoder_norms = nn.LayerList()
        for level, (before, count) in enumerate(zip([in_channels, *maps], maps)):
            inner = 0 < level < downs - 1
            # The first has a rectifier for what follows it; the last, that of the decoder.
            activation = "linear" if inner else "lrelu" if level == 0 else "relu"
            self.encoder.append(
                PlainConv2D(before, count, 4, **halves, bias=bias, activation=activation)
            )
            self.encoder_norms.append(make_norm(norm, count, "lrelu") if inner else nn.Identity())

        self.decoder = nn.LayerList()
        self.decoder_norms = nn.LayerList()
        for level in range(downs - 1, 0, -1):
            before = maps[level] * (1 if level == downs - 1 else 2)
            self.decoder.append(
                PlainConvTranspose2D(before, maps[level - 1], 4, **halves, bias=bias)
            )
            self.decoder_norms.append(make_norm(norm, maps[level - 1], "relu"))
        self.to_image = PlainConvTranspose2D(
            2 * maps[0], out_channels, 4, **halves, activation="tanh"
        )

        full = [maps[level - 1] == channel_max for level in range(downs - 1, 0, -1)]
        self.drops = {
            "torch": [stage < 3 for stage in range(downs - 1)],
            "pytorch": [0 < stage < sum(full) for stage in range(downs - 1)],
            "none": [False] * (downs - 1),
        }[dropout]

    def dropout_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """(C, H, W) of the masks for source images of a size."""
        extra = check_size("UNetGenerator", height, width, 2**self.downs, 2**self.downs, self.pad)
        height, width = height + extra[0], width + extra[1]
        return [
            (layer.weight.shape[1], height >> level, width >> level)
            for level, layer, place in zip(range(self.downs - 1, 0, -1), self.decoder, self.drops)
            if place
        ]

    def forward(self, source: paddle.Tensor, dropout: Dropout = None) -> paddle.Tensor:
        """Images ``[N, out, H, W]`` in [-1, 1] for source images ``[N, in, H, W]``.

        Args:
            source: in [-1, 1].
            dropout: masks ``[N, *shape]`` of 0 and 2 for ``dropout_shapes``; None for no dropout.

        Raises:
            ValueError: the size is not a multiple of ``2 ** downs`` and ``pad`` is not set.
        """
        height, width = source.shape[2:]
        extra = check_size("UNetGenerator", height, width, 2**self.downs, 2**self.downs, self.pad)
        x = pad_below(source, extra)
        skips = []
        for conv, norm in zip(self.encoder, self.encoder_norms):
            x = norm(conv(x))
            skips.append(x)
        skips.pop()
        masks = list(dropout or ())
        for conv, norm, place in zip(self.decoder, self.decoder_norms, self.drops):
            x = drop(norm(conv(x)), masks, place)
            # relu(lrelu(e)) = relu(e): what the decoder takes of the encoder's maps.
            x = paddle.concat([bias_act(skips.pop(), act="relu", gain=1.0), x], axis=1)
        return self.to_image(x)[:, :, :height, :width]


class ResnetGenerator(nn.Layer):
    """Convolutions down to a quarter of the size, residual blocks, and up again.

    Args:
        in_channels: channels of the source image.
        out_channels: channels of the image.
        blocks: residual blocks: 9 for 256 x 256 pixels, 6 for 128 x 128.
        channel_base: maps at full size.
        norm: 'batch' or 'instance', see :class:`UNetGenerator`.
        dropout: 'none', or any other for dropout within each block.
        pad: let images whose sides are not multiples of 4 be padded, and the result be cut.
    """

    downs = 2

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        blocks: int = 9,
        channel_base: int = 64,
        norm: str = "batch",
        dropout: str = "torch",
        pad: bool = False,
    ) -> None:
        super().__init__()
        self.pad = pad
        self.drops = dropout != "none"
        bias = norm == "instance"
        wide: dict[str, Any] = {"padding": 3, "padding_mode": "reflect"}
        layers: list[nn.Layer] = [
            PlainConv2D(in_channels, channel_base, 7, **wide, bias=bias),
            make_norm(norm, channel_base, "relu"),
        ]
        for level in range(self.downs):
            maps = channel_base << level
            layers += [
                PlainConv2D(maps, 2 * maps, 3, stride=2, padding=1, bias=bias),
                make_norm(norm, 2 * maps, "relu"),
            ]
        self.encoder = nn.Sequential(*layers)
        self.channels = channel_base << self.downs
        self.blocks = nn.LayerList(
            [ResnetBlock(self.channels, norm, self.drops) for _ in range(blocks)]
        )
        layers = []
        for level in range(self.downs, 0, -1):
            maps = channel_base << level
            layers += [
                PlainConvTranspose2D(
                    maps, maps // 2, 3, stride=2, padding=1, output_padding=1, bias=bias
                ),
                make_norm(norm, maps // 2, "relu"),
            ]
        layers.append(PlainConv2D(channel_base, out_channels, 7, **wide, activation="tanh"))
        self.decoder = nn.Sequential(*layers)

    def dropout_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """(C, H, W) of the masks for source images of a size."""
        extra = check_size("ResnetGenerator", height, width, 4, 8, self.pad)
        shape = self.channels, (height + extra[0]) // 4, (width + extra[1]) // 4
        return [shape] * len(self.blocks) if self.drops else []

    def forward(self, source: paddle.Tensor, dropout: Dropout = None) -> paddle.Tensor:
        """Images for source images; see :meth:`UNetGenerator.forward`."""
        height, width = source.shape[2:]
        extra = check_size("ResnetGenerator", height, width, 4, 8, self.pad)
        masks = list(dropout or ())
        x = self.encoder(pad_below(source, extra))
        for block in self.blocks:
            x = block(x, masks)
        return self.decoder(x)[:, :, :height, :width]


class PatchDiscriminator(nn.Layer):
    """A map of logits, each of a patch of the image.

    Args:
        in_channels: channels of source image and image together, or of the image alone.
        layers: convolutions of stride 2. A logit sees 16, 34, 70, 142 or 286 pixels of each axis
            with 1 to 5 of them; 0 is the discriminator of single pixels.
        channel_base: maps of the first convolution; they double, up to 8 times as many.
        norm: 'batch' or 'instance', see :class:`UNetGenerator`.
    """

    def __init__(
        self, in_channels: int = 6, *, layers: int = 3, channel_base: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        if not 0 <= layers <= 5:
            raise ValueError(f"PatchDiscriminator: `layers` is {layers}; it must be from 0 to 5.")
        bias = norm == "instance"
        kernel, padding = (4, 1) if layers else (1, 0)
        strides = [2] * layers + [1] if layers else [1, 1]
        self.receptive_field = kernel
        for stride in reversed(strides):
            self.receptive_field = (self.receptive_field - 1) * stride + kernel
        stack: list[nn.Layer] = []
        before = in_channels
        for level, stride in enumerate(strides):
            maps = channel_base * min(2**level, 8)
            settings: dict[str, Any] = {"stride": stride, "padding": padding}
            if level == 0:
                stack.append(PlainConv2D(before, maps, kernel, **settings, activation="lrelu"))
            else:
                stack.append(PlainConv2D(before, maps, kernel, **settings, bias=bias))
                stack.append(make_norm(norm, maps, "lrelu"))
            before = maps
        # The discriminator of pixels has no bias here either.
        stack.append(PlainConv2D(before, 1, kernel, padding=padding, bias=bias or layers > 0))
        self.layers = nn.Sequential(*stack)
        shrink = 2**layers
        self.smallest = 3 * shrink if layers else 1

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Logits ``[N, 1, H', W']`` of images ``[N, in, H, W]``; 30 x 30 for 256 x 256.

        Raises:
            ValueError: the images are too small for one logit.
        """
        if min(image.shape[2:]) < self.smallest:
            raise ValueError(
                f"PatchDiscriminator: images are {image.shape[3]} x {image.shape[2]} pixels, but "
                f"the smallest with a logit have {self.smallest} on each side; use fewer `layers`."
            )
        return self.layers(image)
