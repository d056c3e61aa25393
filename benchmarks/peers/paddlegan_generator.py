"""The StyleGAN2 generator as PaddleGAN formulates it, for inference.

Same network and parameter names as `benchmarks.peers.paddle_stylegan2`, but every operator the way
PaddlePaddle/PaddleGAN (Apache-2.0) writes it: weights per sample and a grouped convolution at every
resolution, toRGB included, and filters by explicit zero insertion, padding, one convolution over
[N * C, 1, H, W] and strided slicing.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from benchmarks.peers import paddle_functions as functions
from benchmarks.peers import paddle_stylegan2 as plain


def upfirdn2d(x: Tensor, f: Tensor, up: int, pad: tuple[int, int]) -> Tensor:
    """Insert zeros, pad by pad[0] before and pad[1] after, convolve with f [1, 1, k, k]."""
    samples, channels, height, width = x.shape
    # Zero insertion through a tensor of single pixels, as PaddleGAN pads it.
    x = x.reshape([-1, height, 1, width, 1, 1]).transpose([0, 1, 3, 5, 2, 4])
    x = F.pad(x.reshape([-1, 1, 1, 1]), [0, up - 1, 0, up - 1])
    x = x.reshape([-1, height, width, 1, up, up]).transpose([0, 3, 1, 4, 2, 5])
    x = F.pad(x.reshape([-1, 1, height * up, width * up]), [pad[0], pad[1], pad[0], pad[1]])
    x = F.conv2d(x, paddle.flip(f, [2, 3]))
    x = x.transpose([0, 2, 3, 1])[:, ::1, ::1, :]
    return x.reshape([samples, channels, x.shape[1], x.shape[2]])


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, f: Tensor | None, demodulate: bool, up: bool
) -> Tensor:
    """Weights per sample, one grouped convolution."""
    samples, inputs, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    scale = 1.0 / math.sqrt(inputs * kernel**2)
    w = scale * weight.unsqueeze(0) * styles.reshape([samples, 1, inputs, 1, 1])
    if demodulate:
        demodulation = paddle.rsqrt((w * w).sum([2, 3, 4]) + 1e-8)
        w = w * demodulation.reshape([samples, outputs, 1, 1, 1])
    x = x.reshape([1, samples * inputs, height, width])
    if up:
        w = w.transpose([0, 2, 1, 3, 4]).reshape([samples * inputs, outputs, kernel, kernel])
        x = F.conv2d_transpose(x, w, stride=2, groups=samples)
        x = x.reshape([samples, outputs, *x.shape[2:]])
        return upfirdn2d(x, 4.0 * f, 1, (1, 1))
    w = w.reshape([samples * outputs, inputs, kernel, kernel])
    x = F.conv2d(x, w, padding=kernel // 2, groups=samples)
    return x.reshape([samples, outputs, *x.shape[2:]])


def styled_layer(layer: plain.SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Modulated 3x3 convolution, constant noise, bias, leaky ReLU."""
    x = modulated_conv2d(x, layer.weight, layer.affine(w), layer.filter, True, layer.up)
    x = x + layer.noise_strength * layer.noise_const.unsqueeze([0, 1])
    return functions.bias_lrelu(x, layer.bias)


def to_rgb(layer: plain.ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """Modulated 1x1 convolution without demodulation."""
    x = modulated_conv2d(x, layer.weight, layer.affine(w), None, False, False)
    return x + layer.bias.reshape([1, -1, 1, 1])


class Generator(plain.Generator):
    """z [N, 512] -> images, with constant noise. The parameters are the plain peer's."""

    def forward(self, z: Tensor, noise: str = "const") -> Tensor:
        if noise != "const":
            raise ValueError(f"Generator: noise is {noise!r}; this peer has constant noise only")
        w = self.mapping(z)
        image = None
        for size in self.synthesis.resolutions:
            block = getattr(self.synthesis, f"b{size}")
            if block.first:
                x = block.const.unsqueeze(0).tile([z.shape[0], 1, 1, 1])
            else:
                x = styled_layer(block.conv0, x, w)
                image = upfirdn2d(image, 4.0 * block.filter, 2, (2, 1))
            x = styled_layer(block.conv1, x, w)
            rgb = to_rgb(block.torgb, x, w)
            image = rgb if image is None else rgb + image
        return image
