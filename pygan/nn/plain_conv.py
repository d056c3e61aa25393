"""Convolutions as most papers have them: weights without run-time gain, a bias, zero or other
borders, and an activation without gain."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.ops import conv2d, conv_transpose2d

PADDING_MODES = ("zeros", "reflect", "replicate")
_STD = 0.02  # of the weights of DCGAN, pix2pix and their successors


class PlainConv2D(nn.Layer):
    """``y = act(conv(pad(x), weight) + bias)``, in one pass over memory.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel.
        stride: of the output's pixels in the input.
        padding: pixels added at each border.
        padding_mode: 'zeros'; 'reflect', which needs images larger than ``padding``; or
            'replicate', which repeats the border.
        bias: whether there is one; it starts at 0.
        activation: an activation of :func:`pygan.ops.bias_act`, applied without gain.
        alpha: slope of 'lrelu' for negative numbers.
        initializer: of the weight; None for N(0, 0.02).

    Shapes: weight ``[out, in, k, k]``, bias ``[out]``.
    """

    weight_name: ClassVar[str] = "weight"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        padding_mode: str = "zeros",
        bias: bool = True,
        activation: str = "linear",
        alpha: float = 0.2,
        initializer: Optional[nn.initializer.Initializer] = None,
    ) -> None:
        super().__init__()
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"PlainConv2D: `padding_mode` is {padding_mode!r}; it must be one of "
                f"{PADDING_MODES}."
            )
        self.stride, self.padding, self.padding_mode = stride, padding, padding_mode
        self.activation, self.alpha = activation, alpha
        self.shape = [out_channels, in_channels, kernel_size, kernel_size]
        weight = self.create_parameter(
            self.shape, default_initializer=initializer or nn.initializer.Normal(0.0, _STD)
        )
        self.add_parameter(self.weight_name, weight)
        self.bias = _zeros(self, out_channels) if bias else None

    def effective_weight(self) -> paddle.Tensor:
        """The weight that the input is convolved with."""
        return self.weight

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in, H, W] -> [N, out, (H + 2 padding - k) // stride + 1, ...]."""
        padding = self.padding
        if padding and self.padding_mode != "zeros":
            x, padding = continue_images(x, padding, self.padding_mode), 0
        return conv2d(
            x,
            self.effective_weight(),
            self.bias,
            self.stride,
            padding,
            act=self.activation,
            alpha=self.alpha,
            gain=1.0,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        out_channels, in_channels, k, _ = self.shape
        return (
            f"{in_channels} -> {out_channels}, kernel_size={k}, stride={self.stride}, "
            f"padding={self.padding} ({self.padding_mode}), activation={self.activation}"
        )


class PlainConvTranspose2D(nn.Layer):
    """``y = act(conv_transpose(x, weight) + bias)``, which upsamples by ``stride``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel.
        stride: of the input's pixels in the output.
        padding: pixels taken off at each border.
        output_padding: pixels added at the right and bottom.
        bias: whether there is one; it starts at 0.
        activation: an activation of :func:`pygan.ops.bias_act`, applied without gain.
        alpha: slope of 'lrelu' for negative numbers.
        initializer: of the weight; None for N(0, 0.02).

    Shapes: weight ``[in, out, k, k]``, bias ``[out]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        output_padding: int = 0,
        bias: bool = True,
        activation: str = "linear",
        alpha: float = 0.2,
        initializer: Optional[nn.initializer.Initializer] = None,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.activation, self.alpha = activation, alpha
        self.weight = self.create_parameter(
            [in_channels, out_channels, kernel_size, kernel_size],
            default_initializer=initializer or nn.initializer.Normal(0.0, _STD),
        )
        self.bias = _zeros(self, out_channels) if bias else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in, H, W] -> [N, out, (H - 1) stride - 2 padding + k + output_padding, ...]."""
        return conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            act=self.activation,
            alpha=self.alpha,
            gain=1.0,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        in_channels, out_channels, k, _ = self.weight.shape
        return (
            f"{in_channels} -> {out_channels}, kernel_size={k}, stride={self.stride}, "
            f"padding={self.padding}, activation={self.activation}"
        )


def reflect(x: paddle.Tensor, padding: int) -> paddle.Tensor:
    """Images [N, C, H, W] continued by reflection; the border itself is not repeated."""
    return continue_images(x, padding, "reflect")


def continue_images(x: paddle.Tensor, padding: int, mode: str) -> paddle.Tensor:
    """Images [N, C, H, W] with ``padding`` pixels more on each side; see ``PADDING_MODES``."""
    if mode == "reflect" and min(x.shape[2:]) <= padding:
        raise ValueError(
            f"reflect: images of {x.shape[2]} x {x.shape[3]} cannot be reflected by {padding} "
            f"pixels; both sides must be at least {padding + 1}."
        )
    paddle_mode: Any = "constant" if mode == "zeros" else mode
    return F.pad(x, [padding] * 4, mode=paddle_mode)


def _zeros(layer: nn.Layer, channels: int) -> paddle.Tensor:
    return layer.create_parameter([channels], default_initializer=nn.initializer.Constant(0.0))
