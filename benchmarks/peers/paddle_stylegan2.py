"""StyleGAN2 composed of Paddle's stock operators: what one writes without pygan.

The same networks, parameter names and shapes as `pygan.models.stylegan2` and
`benchmarks.peers.torch_stylegan2`. Of the usual formulations each place has the one that is fastest
in Paddle on the CPU:

* filters as one convolution over [N * C, 1, H, W]: as fast as a depthwise convolution, and the
  only one of the two that Paddle differentiates twice;
* modulation with weights per sample and a grouped convolution at high resolution, and as
  scale - convolution - scale at low resolution, where the weights outweigh the activations;
* transposed convolution for upsampling.

Paddle has no second derivative of the transposed convolution, and a wrong one of the convolution
with weights per sample. `second_order=True` avoids both: scale - convolution - scale throughout,
and the four phases of the transposed convolution as one 2x2 convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from benchmarks.peers.paddle_functions import (
    bias_lrelu,
    downsample2d,
    filter2d,
    interleave,
    lrelu,
    make_filter,
    phase_kernels,
    upsample2d,
)

# Weights per sample pay from this many output pixels per side on.
PER_SAMPLE_FROM = 64


class FullyConnected(nn.Layer):
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
        self.weight = normal(self, [outputs, inputs], std=1.0 / lr_mult)
        self.bias = constant(self, [outputs], bias_init / lr_mult)
        self.gain = lr_mult / math.sqrt(inputs)
        self.lr_mult = lr_mult
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.lr_mult == 1.0 else self.bias * self.lr_mult
        y = paddle.matmul(x, self.weight * self.gain, transpose_y=True) + bias
        return lrelu(y) if self.activate else y


def normal(layer: nn.Layer, shape: list[int], std: float = 1.0) -> Tensor:
    """A parameter ~ N(0, std^2)."""
    return layer.create_parameter(shape, default_initializer=nn.initializer.Normal(0.0, std))


def constant(layer: nn.Layer, shape: list[int], value: float = 0.0) -> Tensor:
    """A parameter filled with `value`."""
    return layer.create_parameter(shape, default_initializer=nn.initializer.Constant(value))


class Mapping(nn.Layer):
    """z -> pixel norm -> `layers` fully connected layers -> w [N, w_dim]."""

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        for i in range(layers):
            width = z_dim if i == 0 else w_dim
            self.add_sublayer(f"fc{i}", FullyConnected(width, w_dim, activate=True, lr_mult=0.01))

    def forward(self, z: Tensor) -> Tensor:
        w = z * paddle.rsqrt((z * z).mean(axis=1, keepdim=True) + 1e-8)
        for i in range(self.layers):
            w = getattr(self, f"fc{i}")(w)
        return w


class SynthesisLayer(nn.Layer):
    """Modulated 3x3 convolution (optionally doubling the size), noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = normal(self, [outputs, inputs, 3, 3])
        self.noise_strength = constant(self, [1])
        self.bias = constant(self, [outputs])
        self.register_buffer("noise_const", paddle.randn([resolution, resolution]))
        self.register_buffer("filter", make_filter(), persistable=False)
        self.resolution = resolution
        self.up = up

    def forward(self, x: Tensor, w: Tensor, noise: str, second_order: bool) -> Tensor:
        styles = self.affine(w)
        if second_order or self.resolution < PER_SAMPLE_FROM:
            x = self.convolve_scaled(x, styles, second_order)
        else:
            x = self.convolve_per_sample(x, styles)
        if noise == "const":
            x = x + self.noise_const * self.noise_strength
        elif noise == "random":
            field = paddle.randn([x.shape[0], 1, self.resolution, self.resolution])
            x = x + field * self.noise_strength
        return bias_lrelu(x, self.bias)

    def convolve_scaled(self, x: Tensor, styles: Tensor, second_order: bool) -> Tensor:
        """Scale the input, convolve with the shared weight, scale the output."""
        squares = (self.weight * self.weight).sum(axis=[2, 3])
        demodulation = paddle.rsqrt(
            paddle.matmul(styles * styles, squares, transpose_y=True) + 1e-8
        )
        x = x * styles.unsqueeze([2, 3])
        if not self.up:
            x = F.conv2d(x, self.weight, padding=1)
        elif second_order:
            phases = phase_kernels(F.pad(self.weight, [0, 1, 0, 1]))
            # The phases are one row and column longer than the transposed convolution; those are
            # zero and serve as padding.
            x = interleave(F.conv2d(x, phases, padding=1))
            x = filter2d(x, 4.0 * self.filter, padding=[1, 0, 1, 0])
        else:
            x = F.conv2d_transpose(x, self.weight.transpose([1, 0, 2, 3]), stride=2)
            x = filter2d(x, 4.0 * self.filter, padding=1)
        return x * demodulation.unsqueeze([2, 3])

    def convolve_per_sample(self, x: Tensor, styles: Tensor) -> Tensor:
        """A weight for each sample and one grouped convolution."""
        samples, inputs, height, width = x.shape
        outputs = self.weight.shape[0]
        weight = self.weight.unsqueeze(0) * styles.reshape([samples, 1, inputs, 1, 1])
        demodulation = paddle.rsqrt((weight * weight).sum(axis=[2, 3, 4], keepdim=True) + 1e-8)
        weight = weight * demodulation
        x = x.reshape([1, samples * inputs, height, width])
        if self.up:
            weight = weight.transpose([0, 2, 1, 3, 4]).reshape([samples * inputs, outputs, 3, 3])
            x = F.conv2d_transpose(x, weight, stride=2, groups=samples)
            x = filter2d(x, 4.0 * self.filter, padding=1)
        else:
            weight = weight.reshape([samples * outputs, inputs, 3, 3])
            x = F.conv2d(x, weight, padding=1, groups=samples)
        return x.reshape([samples, outputs, *x.shape[2:]])


class ToRGB(nn.Layer):
    """Modulated 1x1 convolution to the image, without demodulation."""

    def __init__(self, inputs: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = normal(self, [channels, inputs, 1, 1])
        self.bias = constant(self, [channels])
        self.gain = 1.0 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        samples, inputs, height, width = x.shape
        channels = self.weight.shape[0]
        styles = self.affine(w) * self.gain
        weight = self.weight.reshape([1, channels, inputs]) * styles.unsqueeze(1)
        y = paddle.matmul(weight, x.reshape([samples, inputs, height * width]))
        return y.reshape([samples, channels, height, width]) + self.bias.reshape([1, -1, 1, 1])


class SynthesisBlock(nn.Layer):
    """One resolution: the layers and the skip image."""

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, channels: int
    ) -> None:
        super().__init__()
        self.first = inputs == 0
        if self.first:
            self.const = normal(self, [outputs, resolution, resolution])
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=True)
            self.register_buffer("filter", make_filter(), persistable=False)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, up=False)
        self.torgb = ToRGB(outputs, channels, w_dim)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Sequence[Tensor],
        noise: str,
        second_order: bool,
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            x = self.const.unsqueeze(0).expand([ws[0].shape[0], *self.const.shape])
            x = self.conv1(x, ws[0], noise, second_order)
            return x, self.torgb(x, ws[1])
        x = self.conv0(x, ws[0], noise, second_order)
        x = self.conv1(x, ws[1], noise, second_order)
        return x, upsample2d(image, self.filter, second_order) + self.torgb(x, ws[2])


def channels_at(resolution: int, base: int, most: int) -> int:
    """Feature maps of a block."""
    return min(base // resolution, most)


class Synthesis(nn.Layer):
    """ws [N, num_ws, w_dim] -> images [N, channels, R, R]."""

    def __init__(self, w_dim: int, resolution: int, channels: int, base: int, most: int) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        self.num_ws = 2 * len(self.resolutions)
        inputs = 0
        for size in self.resolutions:
            outputs = channels_at(size, base, most)
            self.add_sublayer(f"b{size}", SynthesisBlock(inputs, outputs, w_dim, size, channels))
            inputs = outputs

    def forward(self, ws: Tensor, noise: str = "random", second_order: bool = False) -> Tensor:
        layers = [ws[:, i] for i in range(self.num_ws)]
        x = image = None
        first = 0
        for size in self.resolutions:
            # A block's toRGB shares its w with the next block's first convolution.
            count = 2 if size == 4 else 3
            block = getattr(self, f"b{size}")
            x, image = block(x, image, layers[first : first + count], noise, second_order)
            first += count - 1
        return image


class Generator(nn.Layer):
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
        w = self.mapping(z)
        return self.synthesis(w.unsqueeze(1).expand([-1, self.num_ws, -1]), noise)


class ConvLayer(nn.Layer):
    """Equalised convolution, optionally halving the size, with bias and leaky ReLU if activated."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = normal(self, [outputs, inputs, kernel, kernel])
        self.bias = constant(self, [outputs]) if activate else None
        self.gain = 1.0 / math.sqrt(inputs * kernel**2)
        self.kernel = kernel
        self.down = down
        if down:
            self.register_buffer("filter", make_filter(), persistable=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.down:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        elif self.kernel == 1:
            x = F.conv2d(downsample2d(x, self.filter), weight)
        else:
            x = F.conv2d(filter2d(x, self.filter, padding=2), weight, stride=2)
        return x if self.bias is None else bias_lrelu(x, self.bias)


class DiscriminatorBlock(nn.Layer):
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
    grouped = x.reshape([group, samples // group, channels, height, width])
    centred = grouped - grouped.mean(axis=0, keepdim=True)
    deviation = paddle.sqrt((centred * centred).mean(axis=0) + 1e-8).mean(axis=[1, 2, 3])
    field = deviation.reshape([-1, 1, 1, 1]).tile([group, 1, height, width])
    return paddle.concat([x, field], axis=1)


class DiscriminatorEpilogue(nn.Layer):
    """4x4 features -> logit."""

    def __init__(self, inputs: int, group: int) -> None:
        super().__init__()
        self.conv = ConvLayer(inputs + 1, inputs, 3)
        self.fc = FullyConnected(inputs * 16, inputs, activate=True)
        self.out = FullyConnected(inputs, 1)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(minibatch_std(x, self.group))
        return self.out(self.fc(x.reshape([x.shape[0], -1])))


class Discriminator(nn.Layer):
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
            self.add_sublayer(f"b{size}", DiscriminatorBlock(image_channels, inputs, outputs))
        self.b4 = DiscriminatorEpilogue(channels_at(4, channel_base, channel_max), mbstd_group_size)

    def forward(self, x: Tensor) -> Tensor:
        for size in self.resolutions:
            x = getattr(self, f"b{size}")(x)
        return self.b4(x)
