"""A plain StyleGAN2 in PyTorch: what pygan is compared with.

Networks: config F of Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020):
skip generator, residual discriminator, equalised learning rate, [1,3,3,1] filters. The parameters
have the names and shapes of `pygan.models.stylegan2`, so the same weights fit both and the outputs
can be compared. Written for speed within plain eager PyTorch: modulation as scale - convolution -
scale with shared weights (the demodulation needs only the squared weights summed over the kernel),
filters as one depthwise convolution, noise and demodulation in one `addcmul`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = math.sqrt(2.0)


def lrelu(x: Tensor) -> Tensor:
    """leaky_relu(x) * sqrt(2)."""
    return F.leaky_relu(x, 0.2) * SQRT2


def bias_lrelu(x: Tensor, bias: Tensor) -> Tensor:
    """leaky_relu(x + bias) * sqrt(2) for x [N, C, H, W], bias [C]."""
    return lrelu(x + bias[:, None, None])


def make_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """The normalised 2-D filter taps x taps."""
    row = torch.tensor(taps, dtype=torch.float32)
    square = row[:, None] * row[None, :]
    return square / square.sum()


def filter2d(x: Tensor, f: Tensor, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Pad, correlate each channel with f, keep every stride-th sample. Symmetric f only."""
    channels = x.shape[1]
    weight = (f * gain).expand(channels, 1, *f.shape)
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)


def upsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Double the size: zero insertion and filter with gain 4, as one transposed convolution."""
    channels = x.shape[1]
    weight = (f * 4.0).expand(channels, 1, *f.shape)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def downsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Filter and halve the size."""
    return filter2d(x, f, padding=1, stride=2)


class FullyConnected(nn.Module):
    """y = act(x (gain W)^T + lr_mult b), W ~ N(0, 1 / lr_mult^2), gain = lr_mult / sqrt(in)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activate: bool = False,
        lr_mult: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mult)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_mult))
        self.gain = lr_mult / math.sqrt(inputs)
        self.lr_mult = lr_mult
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.lr_mult == 1.0 else self.bias * self.lr_mult
        y = torch.addmm(bias, x, self.weight.t(), alpha=self.gain)
        return lrelu(y) if self.activate else y


class Mapping(nn.Module):
    """z -> pixel norm -> `layers` fully connected layers -> w [N, w_dim]."""

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        for i in range(layers):
            width = z_dim if i == 0 else w_dim
            self.add_module(f"fc{i}", FullyConnected(width, w_dim, activate=True, lr_mult=0.01))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(self.layers):
            w = getattr(self, f"fc{i}")(w)
        return w


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution (optionally doubling the size), noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("filter", make_filter(), persistent=False)
        self.resolution = resolution
        self.up = up

    def forward(self, x: Tensor, w: Tensor, noise: str) -> Tensor:
        styles = self.affine(w)
        demodulation = (styles.square() @ self.weight.square().sum((2, 3)).t() + 1e-8).rsqrt()
        x = x * styles[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = filter2d(x, self.filter, padding=1, gain=4.0)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        scale = demodulation[:, :, None, None]
        if noise == "none":
            return bias_lrelu(x * scale, self.bias)
        if noise == "const":
            field = self.noise_const
        else:
            field = torch.randn(x.shape[0], 1, self.resolution, self.resolution)
        return bias_lrelu(torch.addcmul(field * self.noise_strength, x, scale), self.bias)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image, without demodulation; per-sample weights are tiny
    here, so the sample's own [channels, inputs] matrix multiplies its pixels."""

    def __init__(self, inputs: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1.0 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        samples, inputs, height, width = x.shape
        styles = self.affine(w) * self.gain
        weight = self.weight[:, :, 0, 0] * styles[:, None, :]
        y = torch.baddbmm(self.bias[:, None], weight, x.view(samples, inputs, height * width))
        return y.view(samples, -1, height, width)


class SynthesisBlock(nn.Module):
    """One resolution: the layers and the skip image."""

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, channels: int
    ) -> None:
        super().__init__()
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=True)
            self.register_buffer("filter", make_filter(), persistent=False)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, up=False)
        self.torgb = ToRGB(outputs, channels, w_dim)
        self.first = inputs == 0

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Sequence[Tensor], noise: str
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            x = self.const.expand(ws[0].shape[0], *self.const.shape)
            x = self.conv1(x, ws[0], noise)
            return x, self.torgb(x, ws[1])
        assert image is not None
        x = self.conv0(x, ws[0], noise)
        x = self.conv1(x, ws[1], noise)
        return x, upsample2d(image, self.filter) + self.torgb(x, ws[2])


def channels_at(resolution: int, base: int, most: int) -> int:
    """Feature maps of a block."""
    return min(base // resolution, most)


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> images [N, channels, R, R]."""

    def __init__(self, w_dim: int, resolution: int, channels: int, base: int, most: int) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        self.num_ws = 2 * len(self.resolutions)
        inputs = 0
        for size in self.resolutions:
            outputs = channels_at(size, base, most)
            self.add_module(f"b{size}", SynthesisBlock(inputs, outputs, w_dim, size, channels))
            inputs = outputs

    def forward(self, ws: Tensor, noise: str = "random") -> Tensor:
        layers = ws.unbind(1)
        x = image = None
        first = 0
        for size in self.resolutions:
            # A block's toRGB shares its w with the next block's first convolution.
            count = 2 if size == 4 else 3
            block = getattr(self, f"b{size}")
            x, image = block(x, image, layers[first : first + count], noise)
            first += count - 1
        assert image is not None
        return image


class Generator(nn.Module):
    """z [N, z_dim] -> images."""

    def __init__(
        self,
        resolution: int,
        z_dim: int = 512,
        w_dim: int = 512,
        channels: int = 3,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
    ) -> None:
        super().__init__()
        self.mapping = Mapping(z_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(w_dim, resolution, channels, channel_base, channel_max)
        self.num_ws = self.synthesis.num_ws

    def forward(self, z: Tensor, noise: str = "random") -> Tensor:
        ws = self.mapping(z)[:, None].expand(-1, self.num_ws, -1)
        return self.synthesis(ws, noise)


class ConvLayer(nn.Module):
    """Equalised convolution, optionally halving the size, with bias and leaky ReLU if activated."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.gain = 1.0 / math.sqrt(inputs * kernel**2)
        self.kernel = kernel
        self.down = down
        if down:
            self.register_buffer("filter", make_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.down:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        elif self.kernel == 1:
            x = F.conv2d(downsample2d(x, self.filter), weight)
        else:
            x = F.conv2d(filter2d(x, self.filter, padding=2), weight, stride=2)
        return x if self.bias is None else bias_lrelu(x, self.bias)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the size; the first also takes the image."""

    def __init__(self, image_channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fromrgb = ConvLayer(image_channels, inputs, 1) if image_channels else None
        self.conv0 = ConvLayer(inputs, inputs, 3)
        self.conv1 = ConvLayer(inputs, outputs, 3, down=True)
        self.skip = ConvLayer(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return (self.conv1(self.conv0(x)) + self.skip(x)) * math.sqrt(0.5)


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Append the mean standard deviation over groups of strided samples as one feature map."""
    samples, channels, height, width = x.shape
    group = min(group, samples)
    grouped = x.view(group, samples // group, channels, height, width)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    field = deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, field], 1)


class DiscriminatorEpilogue(nn.Module):
    """4x4 features -> logit."""

    def __init__(self, inputs: int, group: int) -> None:
        super().__init__()
        self.conv = ConvLayer(inputs + 1, inputs, 3)
        self.fc = FullyConnected(inputs * 16, inputs, activate=True)
        self.out = FullyConnected(inputs, 1)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc(self.conv(minibatch_std(x, self.group)).flatten(1)))


class Discriminator(nn.Module):
    """images [N, channels, R, R] -> logits [N, 1]."""

    def __init__(
        self,
        resolution: int,
        channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        mbstd_group_size: int = 4,
    ) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(int(math.log2(resolution)), 2, -1)]
        for size in self.resolutions:
            inputs = channels_at(size, channel_base, channel_max)
            outputs = channels_at(size // 2, channel_base, channel_max)
            image_channels = channels if size == resolution else 0
            self.add_module(f"b{size}", DiscriminatorBlock(image_channels, inputs, outputs))
        self.b4 = DiscriminatorEpilogue(channels_at(4, channel_base, channel_max), mbstd_group_size)

    def forward(self, x: Tensor) -> Tensor:
        for size in self.resolutions:
            x = getattr(self, f"b{size}")(x)
        return self.b4(x)
