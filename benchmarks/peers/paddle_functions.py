"""What the layers of StyleGAN2 are made of, composed of Paddle's stock operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor

SQRT2 = math.sqrt(2.0)


def lrelu(x: Tensor) -> Tensor:
    """leaky_relu(x) * sqrt(2)."""
    return F.leaky_relu(x, 0.2) * SQRT2


def bias_lrelu(x: Tensor, bias: Tensor) -> Tensor:
    """leaky_relu(x + bias) * sqrt(2) for x [N, C, H, W], bias [C]."""
    return lrelu(x + bias.reshape([1, -1, 1, 1]))


def make_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """The normalised 2-D filter taps x taps, as a [1, 1, k, k] kernel."""
    row = paddle.to_tensor(taps, dtype="float32")
    square = row.unsqueeze(1) * row.unsqueeze(0)
    return (square / square.sum()).reshape([1, 1, len(taps), len(taps)])


def filter2d(x: Tensor, f: Tensor, padding: int | list[int], stride: int = 1) -> Tensor:
    """Pad, correlate each channel with f, keep every stride-th sample. Symmetric f only."""
    samples, channels, height, width = x.shape
    planes = x.reshape([samples * channels, 1, height, width])
    y = F.conv2d(planes, f, stride=stride, padding=padding)
    return y.reshape([samples, channels, *y.shape[2:]])


def upsample2d(x: Tensor, f: Tensor, second_order: bool = False) -> Tensor:
    """Double the size: zero insertion and filter with gain 4."""
    if second_order:
        samples, channels, height, width = x.shape
        # Each of the four phases of the output sees 2x2 of the 4x4 taps.
        phases = phase_kernels(4.0 * f)
        y = F.conv2d(x.reshape([samples * channels, 1, height, width]), phases, padding=1)
        y = interleave(y).reshape([samples, channels, 2 * height + 2, 2 * width + 2])
        return y[:, :, 1:-1, 1:-1]
    channels = x.shape[1]
    kernel = (4.0 * f).tile([channels, 1, 1, 1])
    return F.conv2d_transpose(x, kernel, stride=2, padding=1, groups=channels)


def downsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Filter and halve the size."""
    return filter2d(x, f, padding=1, stride=2)


def phase_kernels(weight: Tensor) -> Tensor:
    """[O, I, 4, 4] kernel of a transposed convolution with stride 2 -> [4 O, I, 2, 2]: the
    correlation kernels of the output's even and odd rows and columns."""
    outputs, inputs = weight.shape[:2]
    taps = weight.reshape([outputs, inputs, 2, 2, 2, 2])  # tap row, row phase, column ...
    taps = paddle.flip(taps, [2, 4]).transpose([3, 5, 0, 1, 2, 4])
    return taps.reshape([4 * outputs, inputs, 2, 2])


def interleave(y: Tensor) -> Tensor:
    """[N, 4 C, H, W], as `phase_kernels` orders it -> [N, C, 2H, 2W]."""
    samples, channels, height, width = y.shape
    y = y.reshape([samples, 2, 2, channels // 4, height, width]).transpose([0, 3, 4, 1, 5, 2])
    return y.reshape([samples, channels // 4, 2 * height, 2 * width])
