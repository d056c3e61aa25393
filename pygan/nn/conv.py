"""Convolution with an equalised learning rate, resampling and a fused activation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import paddle
from paddle import nn

from pygan.nn.activation import activation_gain, is_homogeneous
from pygan.nn.precision import is_half
from pygan.ops import conv2d_resample, setup_filter


class Conv2dLayer(nn.Layer):
    """``y = clamp(gain * act(resample(conv(x, weight * g)) + bias))``, ``g = 1 / sqrt(in k^2)``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side ``k`` of the kernel; the convolution keeps the size (padding ``k // 2``).
        bias: whether to add a trainable bias.
        activation: an activation name of :func:`pygan.ops.bias_act`.
        up: integer upsampling factor in front of the convolution.
        down: integer downsampling factor behind it.
        resample_filter: FIR low-pass filter used when ``up`` or ``down`` exceeds one.
        conv_clamp: limit of the output's magnitude, for half precision; ``None`` for no limit.

    Shapes: weight ``[out, in, k, k]``, bias ``[out]``;
    ``[N, in, H, W] -> [N, out, H * up / down, W * up / down]``.

    A layer that upsamples stores its kernel flipped (it convolves instead of correlating), as
    published checkpoints of the family do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.act_gain = activation_gain(activation)
        self.weight = self.create_parameter(
            [out_channels, in_channels, kernel_size, kernel_size],
            default_initializer=nn.initializer.Normal(),
        )
        self.bias = None
        if bias:
            self.bias = self.create_parameter(
                [out_channels], default_initializer=nn.initializer.Constant(0.0)
            )
        if up > 1 or down > 1:
            self.register_buffer(
                "resample_filter", setup_filter(list(resample_filter)), persistable=False
            )
        else:
            self.resample_filter = None

    def forward(self, x: paddle.Tensor, gain: float = 1.0) -> paddle.Tensor:
        """Applies the layer; ``gain`` scales the output (and the clamp) once more."""
        w, b, act_gain = self.weight, self.bias, self.act_gain * gain
        if is_homogeneous(self.activation) and not is_half(x):
            # act(g * y + b) = g * act(y + b / g): the equalised gain costs no pass over the weight.
            act_gain *= self.weight_gain
            if b is not None:
                b = b * (1.0 / self.weight_gain)
        else:
            # In half precision the sums between convolution and filter must not overflow.
            w = w * self.weight_gain
        return conv2d_resample(
            x,
            w,
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.kernel_size // 2,
            flip_weight=self.up == 1,
            bias=b,
            act=self.activation,
            gain=act_gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return (
            f"{self.in_channels} -> {self.out_channels}, kernel_size={self.kernel_size}, "
            f"activation={self.activation}, up={self.up}, down={self.down}"
        )
