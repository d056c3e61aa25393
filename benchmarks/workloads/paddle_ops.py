"""The operator suite composed of Paddle's stock operators."""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F

from benchmarks.peers import augment_numbers, label_map, paddle_augment
from benchmarks.peers import paddle_functions as functions
from benchmarks.peers import paddle_stylegan2 as peer
from benchmarks.workloads.pygan_ops import timed

Body = Callable[[], object]


def bias_act(shape: list[int], backward: bool) -> Body:
    x, b = paddle.randn(shape), paddle.randn([shape[1]])
    return timed(lambda: functions.bias_lrelu(x, b), [x, b], backward)


def upfirdn2d(shape: list[int], mode: str, backward: bool) -> Body:
    x, f = paddle.randn(shape), functions.make_filter()
    if mode == "up2":
        return timed(lambda: functions.upsample2d(x, f), [x], backward)
    if mode == "down2":
        return timed(lambda: functions.downsample2d(x, f), [x], backward)
    return timed(lambda: functions.filter2d(x, f, padding=[2, 1, 2, 1]), [x], backward)


def styled_layer(batch: int, channels: int, size: int, backward: bool) -> Body:
    """The whole StyleGAN2 layer: style, convolution, demodulation, noise, bias, activation."""
    layer = peer.SynthesisLayer(channels, channels, 512, size, up=False)
    x, w = paddle.randn([batch, channels, size, size]), paddle.randn([batch, 512])
    inputs = [x, *layer.parameters()]
    return timed(lambda: layer(x, w, "const", second_order=False), inputs, backward)


def augment(batch: int, size: int, backward: bool) -> Body:
    """Geometry and colours of augmented images, by numbers drawn beforehand."""
    x = paddle.randn([batch, 3, size, size])
    numbers = augment_numbers.draw(batch, size, size)
    plan = augment_numbers.plan(numbers.matrices, size, size)
    return timed(
        lambda: paddle_augment.color(paddle_augment.warp(x, plan), numbers.rows), [x], backward
    )


def label_conv(
    batch: int, labels: int, channels: int, size: int, noise: bool, backward: bool
) -> Body:
    """One-hot planes, made anew as training does, and their convolution."""
    ids = paddle.to_tensor(label_map.draw(batch, size, labels, noise)).astype("int64")
    weight, bias = paddle.randn([channels, labels, 3, 3]), paddle.randn([channels])

    def forward() -> paddle.Tensor:
        planes = F.one_hot(ids, labels).transpose([0, 3, 1, 2])
        return F.conv2d(planes, weight, bias, padding=1)

    return timed(forward, [weight, bias], backward)


def spade_norm(batch: int, channels: int, size: int, backward: bool) -> Body:
    """Batch normalisation, scale and shift by maps of one convolution, and leaky ReLU."""
    x = paddle.randn([batch, channels, size, size])
    maps = paddle.randn([batch, 2 * channels, size, size])

    def forward() -> paddle.Tensor:
        gamma, beta = paddle.split(maps, 2, axis=1)
        mean, variance = paddle.zeros([channels]), paddle.ones([channels])
        normal = F.batch_norm(x, mean, variance, training=True)
        return F.leaky_relu(normal * (1 + gamma) + beta, 0.2)

    return timed(forward, [x, maps], backward)
