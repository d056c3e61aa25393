"""What the generators of Pix2Pix are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.nn.norm import BatchNorm, InstanceNorm
from pygan.nn.plain_conv import PlainConv2D

NORMS = ("batch", "instance")
Dropout = Optional[Sequence[paddle.Tensor]]


def make_norm(
    kind: str,
    channels: int,
    activation: str = "linear",
    alpha: Optional[float] = None,
) -> nn.Layer:
    """``act(norm(x))``: batch normalisation with a gain from N(1, 0.02), or instance without one.

    Raises:
        ValueError: ``kind`` is not one of ``NORMS``.
    """
    if kind == "batch":
        gain = nn.initializer.Normal(1.0, 0.02)
        return BatchNorm(channels, activation=activation, alpha=alpha, initializer=gain)
    if kind == "instance":
        return InstanceNorm(channels, activation=activation, alpha=alpha)
    raise ValueError(f"`norm` is {kind!r}; it must be one of {', '.join(NORMS)}.")


def drop(x: paddle.Tensor, masks: list[paddle.Tensor], place: bool) -> paddle.Tensor:
    """x times the next mask, if there are masks and this is a place of dropout."""
    return x * masks.pop(0) if place and masks else x


def check_size(
    owner: str, height: int, width: int, multiple: int, smallest: int, pad: bool
) -> tuple[int, int]:
    """Pixels to add at the bottom and on the right.

    Raises:
        ValueError: the size is not legal, and ``pad`` is not set or does not help.
    """
    extra = (-height % multiple, -width % multiple)
    small = min(height + extra[0], width + extra[1]) < smallest
    if small or (any(extra) and not pad):
        sizes = [max(smallest, multiple) + multiple * step for step in range(3)]
        raise ValueError(
            f"{owner}: images are {width} x {height} pixels; width and height must be multiples of "
            f"{multiple}: {', '.join(map(str, sizes))}, ... Resize or crop them, or let them be "
            "padded (pad=True)."
        )
    return extra


def pad_below(x: paddle.Tensor, extra: tuple[int, int]) -> paddle.Tensor:
    """Images with the last row and column repeated so often."""
    return F.pad(x, [0, extra[1], 0, extra[0]], mode="replicate") if any(extra) else x


class ResnetBlock(nn.Layer):
    """``x + norm(conv(drop(relu(norm(conv(x))))))``, 3 x 3, with reflected borders.

    The residual block of Johnson et al. 2016, "Perceptual losses for real-time style transfer and
    super-resolution", without an activation behind the sum.
    """

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = norm == "instance"
        reflected: dict[str, Any] = {"padding": 1, "padding_mode": "reflect", "bias": bias}
        self.dropout = dropout
        self.conv0 = PlainConv2D(channels, channels, 3, **reflected)
        self.norm0 = make_norm(norm, channels, "relu")
        self.conv1 = PlainConv2D(channels, channels, 3, **reflected)
        self.norm1 = make_norm(norm, channels)

    def forward(self, x: paddle.Tensor, masks: list[paddle.Tensor]) -> paddle.Tensor:
        """``[N, C, H, W] -> [N, C, H, W]``."""
        y = drop(self.norm0(self.conv0(x)), masks, self.dropout)
        return x + self.norm1(self.conv1(y))
