"""The discriminator of Pix2PixHD and SPADE: patches at several scales, and what they see in them.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs",
section 3.2; Park et al. 2019, "Semantic image synthesis with spatially-adaptive normalization",
appendix A, adds spectral normalisation.
"""

from __future__ import annotations

from typing import Optional

import paddle
from paddle import nn

from pygan.nn.label_map import apply_first, first_conv, halve, halved
from pygan.nn.norm import InstanceNorm
from pygan.nn.plain_conv import PlainConv2D
from pygan.nn.spectral_norm import SpectralConv2D
from pygan.ops import bias_act

_KERNEL, _PADDING = 4, 2  # so that maps grow by a pixel where the stride is 1
_WIDEST = 512


class PatchDiscriminator(nn.Layer):
    """A stack of convolutions, 4 x 4, padding 2: logits of overlapping patches.

    ``halvings`` convolutions with stride 2 (``base`` channels, then twice as many each, at most
    512), one with stride 1, and one to a single logit. All but the first and the last are followed
    by instance normalisation, all but the last by a leaky ReLU of slope 0.2.

    Args:
        label_count: labels of the maps; 0 for input that is all dense.
        extra_channels: dense channels: maps beside the labels, and the image.
        base: channels of the first convolution.
        halvings: convolutions with stride 2, 1 or more.
        spectral: spectral normalisation, and no bias, where instance normalisation follows.
    """

    def __init__(
        self, label_count: int, extra_channels: int, base: int, halvings: int, spectral: bool
    ) -> None:
        super().__init__()
        self.first = first_conv(
            label_count, extra_channels, base, _KERNEL, stride=2, padding=_PADDING
        )
        widths = [min(base * 2**i, _WIDEST) for i in range(halvings + 1)]
        conv = SpectralConv2D if spectral else PlainConv2D
        self.middle = nn.LayerList()
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
            stride = 2 if i < halvings - 1 else 1
            self.middle.append(
                nn.Sequential(
                    conv(
                        fan_in,
                        fan_out,
                        _KERNEL,
                        stride=stride,
                        padding=_PADDING,
                        bias=not spectral,
                    ),
                    InstanceNorm(fan_out, activation="lrelu", alpha=0.2),
                )
            )
        self.last = PlainConv2D(widths[-1], 1, _KERNEL, padding=_PADDING)

    def forward(
        self, labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor]
    ) -> list[paddle.Tensor]:
        """The activations of every layer; the last are the logits [N, 1, h, w].

        Args:
            labels: int [N, H, W]; None if ``extra`` has the channels of both.
            extra: [N, E, H, W].
        """
        found = [bias_act(apply_first(self.first, labels, extra), act="lrelu", gain=1.0)]
        for layer in self.middle:
            found.append(layer(found[-1]))
        found.append(self.last(found[-1]))
        return found


class MultiscaleDiscriminator(nn.Layer):
    """The same discriminator, with weights of its own, at every scale of a pyramid.

    Args:
        scales: of the pyramid; each has half the size of the one before.
        label_count, extra_channels, base, halvings, spectral: of :class:`PatchDiscriminator`.

    ``scales[0]`` sees images at full size.
    """

    def __init__(
        self,
        label_count: int,
        extra_channels: int,
        *,
        scales: int = 2,
        base: int = 64,
        halvings: int = 3,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if scales < 1 or halvings < 1:
            raise ValueError(
                f"MultiscaleDiscriminator: `scales` is {scales} and `halvings` {halvings}; both "
                "must be at least 1."
            )
        self.label_count = label_count
        self.scales = nn.LayerList(
            [
                PatchDiscriminator(label_count, extra_channels, base, halvings, spectral)
                for _ in range(scales)
            ]
        )

    def forward(
        self, labels: Optional[paddle.Tensor], extra: paddle.Tensor
    ) -> list[list[paddle.Tensor]]:
        """The activations of every layer at every scale; the last of each are the logits.

        Args:
            labels: int [N, H, W], or None without labels.
            extra: [N, E, H, W]: maps beside the labels, and the image.
        """
        found = []
        for i, scale in enumerate(self.scales):
            if i > 0:
                extra = halve(extra) if labels is None else halved(labels, extra, self.label_count)
                labels = None
            found.append(scale(labels, extra))
        return found
