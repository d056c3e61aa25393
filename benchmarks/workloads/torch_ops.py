"""PyTorch's side of the operator suite."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.peers import augment_numbers, label_map, torch_augment
from benchmarks.peers import torch_stylegan2 as peer

Body = Callable[[], object]


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}


def sgemm(size: int) -> Body:
    """The machine's rate of multiplication and addition: a square matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return lambda: torch.mm(a, b, out=out)


def timed(forward: Callable[[], torch.Tensor], inputs: list[torch.Tensor], backward: bool) -> Body:
    """`forward`, without a graph, or with one and the gradients of all `inputs`."""
    if not backward:

        def infer() -> torch.Tensor:
            with torch.no_grad():
                return forward()

        return infer
    for tensor in inputs:
        tensor.requires_grad_(True)
    with torch.no_grad():
        seed = torch.randn_like(forward())
    return lambda: torch.autograd.grad(forward(), inputs, seed)


def bias_act(shape: list[int], backward: bool) -> Body:
    x, b = torch.randn(shape), torch.randn(shape[1])
    return timed(lambda: peer.bias_lrelu(x, b), [x, b], backward)


def upfirdn2d(shape: list[int], mode: str, backward: bool) -> Body:
    x, f = torch.randn(shape), peer.make_filter()
    if mode == "up2":
        return timed(lambda: peer.upsample2d(x, f), [x], backward)
    if mode == "down2":
        return timed(lambda: peer.downsample2d(x, f), [x], backward)
    # Padding is symmetric in PyTorch: the output has one row and column more than pygan's.
    return timed(lambda: peer.filter2d(x, f, padding=2), [x], backward)


def conv2d(batch: int, channels: int, size: int, backward: bool) -> Body:
    """The bare convolution, without any of what a StyleGAN2 layer adds to it."""
    x, w = torch.randn(batch, channels, size, size), torch.randn(channels, channels, 3, 3)
    return timed(lambda: F.conv2d(x, w, padding=1), [x, w], backward)


def styled_layer(batch: int, channels: int, size: int, backward: bool) -> Body:
    """The whole StyleGAN2 layer: style, convolution, demodulation, noise, bias, activation."""
    layer = peer.SynthesisLayer(channels, channels, 512, size, up=False)
    x, w = torch.randn(batch, channels, size, size), torch.randn(batch, 512)
    return timed(lambda: layer(x, w, "const"), [x, *layer.parameters()], backward)


def augment(batch: int, size: int, backward: bool) -> Body:
    """Geometry and colours of augmented images, by numbers drawn beforehand."""
    x = torch.randn(batch, 3, size, size)
    numbers = augment_numbers.draw(batch, size, size)
    plan = augment_numbers.plan(numbers.matrices, size, size)
    return timed(
        lambda: torch_augment.color(torch_augment.warp(x, plan), numbers.rows), [x], backward
    )


def label_conv(
    batch: int, labels: int, channels: int, size: int, noise: bool, backward: bool
) -> Body:
    """One-hot planes, made anew as training does, and their convolution."""
    ids = torch.from_numpy(label_map.draw(batch, size, labels, noise)).long().unsqueeze(1)
    weight, bias = torch.randn(channels, labels, 3, 3), torch.randn(channels)

    def forward() -> torch.Tensor:
        planes = torch.zeros(batch, labels, size, size).scatter_(1, ids, 1.0)
        return F.conv2d(planes, weight, bias, padding=1)

    return timed(forward, [weight, bias], backward)


def spade_norm(batch: int, channels: int, size: int, backward: bool) -> Body:
    """Batch normalisation, scale and shift by maps of one convolution, and leaky ReLU."""
    x = torch.randn(batch, channels, size, size)
    maps = torch.randn(batch, 2 * channels, size, size)

    def forward() -> torch.Tensor:
        gamma, beta = maps.chunk(2, dim=1)
        normal = F.batch_norm(x, None, None, training=True)
        return F.leaky_relu(normal * (1 + gamma) + beta, 0.2)

    return timed(forward, [x, maps], backward)
