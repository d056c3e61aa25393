"""Style-modulated convolution layers of StyleGAN2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import paddle
from paddle import nn

from pygan.nn.activation import activation_gain
from pygan.nn.linear import FullyConnectedLayer
from pygan.ops import modulated_conv2d, setup_filter


class SynthesisLayer(nn.Layer):
    """``y = clamp(gain * act(d * conv(x * s, weight) + noise_strength * noise + bias))``.

    The style is ``s = affine(w)`` and ``d`` demodulates it, so that every output map has unit
    standard deviation under the assumption that every input map has (Karras et al. 2020,
    "Analyzing and improving the image quality of StyleGAN", section 2.2). Because ``d`` cancels any
    scale of the kernel, ``weight`` needs no equalised gain.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        w_dim: size of the intermediate latent code.
        size: ``(height, width)`` of the output.
        kernel_size: side of the kernel.
        up: integer upsampling factor.
        activation: an activation name of :func:`pygan.ops.bias_act`.
        resample_filter: FIR low-pass filter used when ``up`` exceeds one.
        conv_clamp: limit of the output's magnitude, for half precision; ``None`` for no limit.

    Shapes: weight ``[out, in, k, k]``, noise_strength ``[]``, bias ``[out]``; x ``[N, in, H / up,
    W / up]``, w ``[N, w_dim]``, noise ``[N, 1, H, W]`` or ``[H, W]``, output ``[N, out, H, W]``.

    A layer that upsamples stores its kernel flipped (it convolves instead of correlating), as
    published checkpoints of the family do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        kernel_size: int = 3,
        up: int = 1,
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.size = size
        self.kernel_size = kernel_size
        self.up = up
        self.activation = activation
        self.conv_clamp = conv_clamp
        self.act_gain = activation_gain(activation)
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = self.create_parameter(
            [out_channels, in_channels, kernel_size, kernel_size],
            default_initializer=nn.initializer.Normal(),
        )
        self.noise_strength = self.create_parameter(
            [], default_initializer=nn.initializer.Constant(0.0)
        )
        self.bias = self.create_parameter(
            [out_channels], default_initializer=nn.initializer.Constant(0.0)
        )
        self.register_buffer("noise_const", paddle.randn(list(size), dtype=self.weight.dtype))
        if up > 1:
            self.register_buffer(
                "resample_filter", setup_filter(list(resample_filter)), persistable=False
            )
        else:
            self.resample_filter = None

    def forward(
        self,
        x: paddle.Tensor,
        w: paddle.Tensor,
        noise: Optional[paddle.Tensor] = None,
        gain: float = 1.0,
    ) -> paddle.Tensor:
        """Applies the layer; ``gain`` scales the output (and the clamp) once more."""
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=noise,
            noise_strength=None if noise is None else self.noise_strength,
            up=self.up,
            padding=self.kernel_size // 2,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,
            bias=self.bias,
            act=self.activation,
            gain=self.act_gain * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return (
            f"{self.in_channels} -> {self.out_channels}, size={self.size}, "
            f"activation={self.activation}, up={self.up}"
        )


class ToRGBLayer(nn.Layer):
    """``y = clamp(conv(x * s, weight) + bias)`` with ``s = affine(w) / sqrt(in k^2)``.

    Turns features into image channels: modulated, but neither demodulated nor activated.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the image.
        w_dim: size of the intermediate latent code.
        kernel_size: side of the kernel.
        conv_clamp: limit of the output's magnitude, for half precision; ``None`` for no limit.

    Shapes: weight ``[out, in, k, k]``, bias ``[out]``; x ``[N, in, H, W]``, w ``[N, w_dim]``,
    output ``[N, out, H, W]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        kernel_size: int = 1,
        conv_clamp: Optional[float] = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.conv_clamp = conv_clamp
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = self.create_parameter(
            [out_channels, in_channels, kernel_size, kernel_size],
            default_initializer=nn.initializer.Normal(),
        )
        self.bias = self.create_parameter(
            [out_channels], default_initializer=nn.initializer.Constant(0.0)
        )

    def forward(self, x: paddle.Tensor, w: paddle.Tensor) -> paddle.Tensor:
        """Features ``[N, in, H, W]`` and codes ``[N, w_dim]`` to ``[N, out, H, W]``."""
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w) * self.weight_gain,
            padding=self.kernel_size // 2,
            demodulate=False,
            bias=self.bias,
            clamp=self.conv_clamp,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return f"{self.in_channels} -> {self.out_channels}"
