"""GauGAN: the SPADE generator and the encoder of style.

Park et al. 2019, "Semantic image synthesis with spatially-adaptive normalization", appendix A. The
discriminator is that of :mod:`pygan.models.multiscale_discriminator` with spectral normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.nn.label_conv import LabelConv2D
from pygan.nn.label_map import MapPyramid
from pygan.nn.norm import InstanceNorm
from pygan.nn.plain_conv import PlainConv2D
from pygan.nn.spade import SpadeNorm
from pygan.nn.spectral_norm import SpectralConv2D
from pygan.ops import bias_act, upsample2d

#: Doublings of the size, from the first features to the image.
DOUBLINGS = {"normal": 5, "more": 6, "most": 7}
_SLOPE = 0.2  # of the leaky ReLU
_NEAREST = np.full(2, 0.5, np.float32)  # the filter that repeats every pixel
_ENCODED = 4  # side of the encoder's last features


class SPADEResBlock(nn.Layer):
    """Two convolutions, each behind a SPADE norm and a leaky ReLU, and a shortcut.

    Where the number of channels changes, the shortcut is a convolution 1 x 1 behind a SPADE norm of
    its own, without activation. Its norm and the first one share the statistics of the input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the smaller of both is that in between.
        label_count: labels of the maps.
        extra_channels: dense maps beside them.
        norm: 'batch', 'sync' or 'instance'.
        hidden: channels of the maps' features.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        label_count: int,
        extra_channels: int,
        norm: str,
        hidden: int,
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)

        def spade(channels: int, activation: str) -> SpadeNorm:
            shared = LabelConv2D(label_count, extra_channels, hidden, 3, padding=1)
            return SpadeNorm(
                channels, shared, hidden_channels=hidden, kind=norm, activation=activation
            )

        self.norm_0 = spade(in_channels, "lrelu")
        self.conv_0 = SpectralConv2D(in_channels, middle, 3, padding=1)
        self.norm_1 = spade(middle, "lrelu")
        self.conv_1 = SpectralConv2D(middle, out_channels, 3, padding=1)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.norm_s = spade(in_channels, "linear")
            self.conv_s = SpectralConv2D(in_channels, out_channels, 1, bias=False)

    def forward(self, x: paddle.Tensor, maps: MapPyramid, upsample: int = 1) -> paddle.Tensor:
        """[N, in, H, W] -> [N, out, H, W] of the ``upsample`` times larger input, 1 or 2.

        Nearest neighbours do not change the statistics of ``x``, so that they are taken before, and
        the norms enlarge it on the way.
        """
        size = [side * upsample for side in x.shape[2:]]
        condition = maps.at(size)
        statistics = self.norm_0.statistics(x)
        y = self.conv_0(self.norm_0(x, condition, statistics, upsample))
        y = self.conv_1(self.norm_1(y, condition))
        if self.learned_shortcut:
            return self.conv_s(self.norm_s(x, condition, statistics, upsample)) + y
        return (upsample2d(x, _NEAREST) if upsample == 2 else x) + y


class SPADEGenerator(nn.Layer):
    """Label maps, and a code of style, to images.

    Args:
        size: (height, width) of the images: multiples of ``2 ** DOUBLINGS[layers]``.
        label_count: labels of the maps.
        extra_channels: dense maps beside them, such as edges.
        channels: of the image.
        base: channels of the last but one block; 16 times as many at first.
        layers: 'normal', 'more' or 'most': five, six or seven doublings.
        z_dim: size of the code of style; 0 for the deterministic network, whose first features come
            from the label map.
        norm: 'batch', 'sync' (over all processes) or 'instance'.
        hidden: channels of the maps' features in every SPADE norm.

    The weights of the two kinds, with and without code, differ in ``fc``.
    """

    def __init__(
        self,
        size: Sequence[int],
        label_count: int,
        extra_channels: int = 0,
        channels: int = 3,
        *,
        base: int = 64,
        layers: str = "normal",
        z_dim: int = 0,
        norm: str = "batch",
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.size = (int(size[0]), int(size[1]))
        self.start = start_size(self.size, layers)
        self.layers = layers
        self.z_dim = z_dim
        first = 16 * base
        self.fc: Union[nn.Linear, LabelConv2D]
        if z_dim > 0:
            self.fc = nn.Linear(z_dim, first * self.start[0] * self.start[1])
        else:
            self.fc = LabelConv2D(label_count, extra_channels, first, 3, padding=1)

        def block(fan_in: int, fan_out: int) -> SPADEResBlock:
            return SPADEResBlock(fan_in, fan_out, label_count, extra_channels, norm, hidden)

        self.head_0 = block(first, first)
        self.mid_0 = block(first, first)
        self.mid_1 = block(first, first)
        last = base
        for i in range(4):
            self.add_sublayer(f"up_{i}", block(first >> i, first >> (i + 1)))
        if layers == "most":
            last = max(base // 2, 1)
            self.up_4 = block(base, last)
        self.image = PlainConv2D(last, channels, 3, padding=1, activation="tanh")
        initialize(self)

    def forward(
        self,
        labels: paddle.Tensor,
        extra: Optional[paddle.Tensor] = None,
        z: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        """Images [N, C, H, W] in (-1, 1).

        Args:
            labels: int [N, H, W]; -1 is no label. Without a code, of any size that so many
                doublings make: the network is convolutional all through.
            extra: [N, E, H, W] if there are maps beside the labels, or None.
            z: codes of style [N, z_dim]; None for the deterministic network.

        Raises:
            ValueError: the sides are not those of the network, or ``z`` does not suit it.
        """
        if self.z_dim > 0 and tuple(labels.shape[1:]) != self.size:
            raise ValueError(
                f"SPADEGenerator: `labels` has shape {list(labels.shape)}; this network draws "
                f"images of [N, {self.size[0]}, {self.size[1]}]."
            )
        maps = MapPyramid(labels, extra)
        x = self._first_features(maps, z)
        x = self.head_0(x, maps)
        x = self.mid_0(x, maps, upsample=2)
        x = self.mid_1(x, maps, upsample=1 if self.layers == "normal" else 2)
        for i in range(5 if self.layers == "most" else 4):
            x = getattr(self, f"up_{i}")(x, maps, upsample=2)
        return self.image(bias_act(x, act="lrelu", alpha=_SLOPE, gain=1.0))

    def _first_features(self, maps: MapPyramid, z: Optional[paddle.Tensor]) -> paddle.Tensor:
        if (z is not None) != (self.z_dim > 0):
            needs = f"a code [N, {self.z_dim}]" if self.z_dim else "no code, only labels"
            raise ValueError(f"SPADEGenerator: `z` is {_kind(z)}; this network takes {needs}.")
        if z is None:
            return self.fc(*maps.at(start_size(maps.size, self.layers)))
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(
                f"SPADEGenerator: `z` has shape {list(z.shape)}; it must be [N, {self.z_dim}]."
            )
        return self.fc(z).reshape([z.shape[0], -1, *self.start])


class StyleEncoder(nn.Layer):
    """Images to the distribution of their style: the encoder of a variational autoencoder.

    Convolutions 3 x 3 with stride 2, spectral and instance normalisation, and two dense layers on
    the features of 4 x 4 pixels. The image is resized to the side that the network is made for.

    Args:
        channels: of the image.
        base: channels of the first convolution; twice as many each, up to 8 times.
        z_dim: size of the code.
        side: images are resized to this, a power of two, 8 or more; 256 in the paper.
    """

    def __init__(
        self, channels: int = 3, *, base: int = 64, z_dim: int = 256, side: int = 256
    ) -> None:
        super().__init__()
        depth = int(math.log2(side / _ENCODED)) if side > _ENCODED else 0
        if depth < 1 or _ENCODED * 2**depth != side:
            raise ValueError(
                f"StyleEncoder: `side` is {side}; it must be a power of two, 8 or more."
            )
        self.side = side
        widths = [channels, *(base * min(2**i, 8) for i in range(depth))]
        self.convs = nn.Sequential(
            *[
                nn.Sequential(
                    SpectralConv2D(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                    InstanceNorm(fan_out, activation="lrelu", alpha=_SLOPE),
                )
                for fan_in, fan_out in zip(widths, widths[1:])
            ]
        )
        self.fc_mu = nn.Linear(widths[-1] * _ENCODED**2, z_dim)
        self.fc_var = nn.Linear(widths[-1] * _ENCODED**2, z_dim)
        initialize(self)

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Mean and logarithm of the variance of the codes, [N, z_dim] each, of [N, C, H, W]."""
        x = images
        if tuple(x.shape[2:]) != (self.side, self.side):
            x = F.interpolate(x, size=[self.side, self.side], mode="bilinear", align_corners=False)
        x = self.convs(x).reshape([x.shape[0], -1])
        return self.fc_mu(x), self.fc_var(x)


def start_size(size: Sequence[int], layers: str) -> tuple[int, int]:
    """(height, width) of the first features of a generator.

    Raises:
        ValueError: an unknown ``layers``, or a side that is not a multiple of ``2 ** doublings``.
    """
    if layers not in DOUBLINGS:
        raise ValueError(f"`layers` is {layers!r}; it must be one of {', '.join(DOUBLINGS)}.")
    factor = 2 ** DOUBLINGS[layers]
    if any(side < factor or side % factor for side in size):
        lower = [max(side // factor, 1) * factor for side in size]
        raise ValueError(
            f"images of {size[0]} x {size[1]} (height x width) cannot be made by "
            f"{DOUBLINGS[layers]} doublings ({layers}); both sides must be multiples of {factor}, "
            f"such as {lower[0]} x {lower[1]}."
        )
    return int(size[0]) // factor, int(size[1]) // factor


def side_of_style(size: Sequence[int]) -> int:
    """The side of the encoder for images of a size: the power of two below, from 8 to 256."""
    return 2 ** min(max(int(math.log2(max(*size, 1))), 3), 8)


def initialize(network: nn.Layer) -> None:
    """Draws weights by Glorot and Bengio's rule with gain 0.02, and sets biases to 0.

    ``std = 0.02 * sqrt(2 / (fan_in + fan_out))``, the authors' choice for all their networks. What
    makes gamma and beta counts as the two convolutions that it is.
    """
    layers = network.sublayers(include_self=True)
    halved = {id(layer.gamma_beta) for layer in layers if isinstance(layer, SpadeNorm)}
    for layer in layers:
        for parameter in layer.parameters(include_sublayers=False):
            if parameter.ndim < 2:
                nn.initializer.Constant(0.0)(parameter)
                continue
            first = parameter.shape[0] / (2 if id(layer) in halved else 1)
            fans = (first + parameter.shape[1]) * math.prod(parameter.shape[2:])
            nn.initializer.Normal(0.0, 0.02 * math.sqrt(2 / fans))(parameter)


def _kind(z: Optional[paddle.Tensor]) -> str:
    return "None" if z is None else f"a tensor of shape {list(z.shape)}"
