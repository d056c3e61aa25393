"""pygan's side of the operator suite."""

from __future__ import annotations

from collections.abc import Callable

import paddle

import pygan
from benchmarks.peers import augment_numbers, label_map
from pygan import ops

Body = Callable[[], object]


def tune_malloc() -> bool:
    """What `pygan train` does when it starts."""
    return pygan.tune_malloc()


def versions() -> dict[str, str]:
    info = ops.native_info()
    return {
        "paddle": paddle.__version__,
        "pygan": pygan.__version__,
        "native operators": f"{info['cpu_isa']}, oneDNN {info['onednn']}"
        if info["available"]
        else f"none: {info['reason']}",
    }


def sgemm(size: int) -> Body:
    """The machine's rate of multiplication and addition: a square matrix product."""
    a, b = paddle.randn([size, size]), paddle.randn([size, size])
    return lambda: paddle.matmul(a, b)


def timed(
    forward: Callable[[], paddle.Tensor], inputs: list[paddle.Tensor], backward: bool
) -> Body:
    """`forward`, without a graph, or with one and the gradients of all `inputs`."""
    if not backward:

        def infer() -> paddle.Tensor:
            with paddle.no_grad():
                return forward()

        return infer
    for tensor in inputs:
        tensor.stop_gradient = False
    with paddle.no_grad():
        seed = paddle.randn(forward().shape)
    return lambda: paddle.grad([forward()], inputs, [seed])


def bias_act(shape: list[int], backward: bool) -> Body:
    x, b = paddle.randn(shape), paddle.randn([shape[1]])
    return timed(lambda: ops.bias_act(x, b, act="lrelu"), [x, b], backward)


def upfirdn2d(shape: list[int], mode: str, backward: bool) -> Body:
    x, f = paddle.randn(shape), ops.setup_filter([1, 3, 3, 1])
    run = {"up2": ops.upsample2d, "down2": ops.downsample2d, "blur": ops.filter2d}[mode]
    return timed(lambda: run(x, f), [x], backward)


def styled_layer(batch: int, channels: int, size: int, backward: bool) -> Body:
    """Modulated 3x3 convolution with style, demodulation, noise, bias and activation."""
    x = paddle.randn([batch, channels, size, size])
    weight = paddle.randn([channels, channels, 3, 3])
    styles = paddle.randn([batch, channels]) + 1
    noise, strength = paddle.randn([size, size]), paddle.ones([1])
    bias = paddle.randn([channels])

    def forward() -> paddle.Tensor:
        return ops.modulated_conv2d(
            x,
            weight,
            styles,
            noise,
            padding=1,
            noise_strength=strength,
            bias=bias,
            act="lrelu",
        )

    return timed(forward, [x, weight, styles, strength, bias], backward)


def augment(batch: int, size: int, backward: bool) -> Body:
    """Geometry and colours of augmented images, by numbers drawn beforehand."""
    x = paddle.randn([batch, 3, size, size])
    numbers = augment_numbers.draw(batch, size, size)
    matrices, rows = (paddle.to_tensor(n) for n in numbers)
    return timed(lambda: ops.color_transform(ops.warp(x, matrices), rows), [x], backward)


def label_conv(
    batch: int, labels: int, channels: int, size: int, noise: bool, backward: bool
) -> Body:
    """3x3 convolution of a label map, with the gradients of weight and bias."""
    ids = paddle.to_tensor(label_map.draw(batch, size, labels, noise))
    weight, bias = paddle.randn([channels, labels, 3, 3]), paddle.randn([channels])
    return timed(lambda: ops.label_conv2d(ids, weight, bias, padding=1), [weight, bias], backward)


def spade_norm(batch: int, channels: int, size: int, backward: bool) -> Body:
    """Batch normalisation, scaled and shifted by maps of one convolution, and leaky ReLU."""
    x = paddle.randn([batch, channels, size, size])
    maps = paddle.randn([batch, 2 * channels, size, size])

    def forward() -> paddle.Tensor:
        with paddle.no_grad():
            mean, variance = ops.norm_statistics(x)
        return ops.spade_norm(
            x, mean, variance, gamma_beta=maps, own_statistics="batch", activation="lrelu"
        )

    return timed(forward, [x, maps], backward)
