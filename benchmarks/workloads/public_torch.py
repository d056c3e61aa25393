"""A public PyTorch StyleGAN2 (github.com/rosinality/stylegan2-pytorch), run from the user's clone.

Only the benchmark `benchmarks.compare_public` uses it, to show that our PyTorch peer is not a slow
one. Nothing of that project is part of this one.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers import torch_stylegan2 as peer

Body = Callable[[], object]
STEPS = ("G inference", "G forward+backward", "G path length", "D forward+backward", "D R1")


def load_public(clone: str) -> types.ModuleType:
    """Import the clone's `model`. Its CUDA extensions, which it compiles on import, are replaced by
    nothing: on CPU tensors it runs its own PyTorch code."""
    if clone not in sys.path:
        sys.path.insert(0, clone)
    with mock.patch("torch.utils.cpp_extension.load", return_value=None):
        import model
    return model


def steps(
    generator: nn.Module,
    discriminator: nn.Module,
    synthesize: Callable[[Tensor, bool], tuple[Tensor, Tensor]],
    resolution: int,
    batch: int,
) -> dict[str, Body]:
    """The same five measurements for any pair of networks.

    Args:
        synthesize: (z, random noise or not) -> (images, the latents of path length)
    """
    g_parameters, d_parameters = list(generator.parameters()), list(discriminator.parameters())
    g_used = [p for p in g_parameters if p.requires_grad]
    z, half = torch.randn(batch, 512), torch.randn(batch // 2, 512)
    images = torch.rand(batch, 3, resolution, resolution) * 2 - 1

    def inference() -> object:
        generator.eval()
        with torch.no_grad():
            result = synthesize(z, False)[0]
        generator.train()
        return result

    def g_both() -> object:
        return torch.autograd.grad(
            synthesize(z, True)[0].square().mean(), g_used, allow_unused=True
        )

    def path_length() -> object:
        made, latents = synthesize(half, True)
        (gradient,) = torch.autograd.grad(
            (made * images[: len(half)]).sum(), latents, create_graph=True
        )
        length = gradient.square().sum(2).mean(1).sqrt()
        return torch.autograd.grad((length - 1).square().mean(), g_used, allow_unused=True)

    def d_both() -> object:
        loss = F.softplus(-discriminator(images)).mean()
        return torch.autograd.grad(loss, d_parameters)

    def r1() -> object:
        real = images.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
        penalty = gradient.square().sum((1, 2, 3)).mean()
        return torch.autograd.grad(penalty, d_parameters, allow_unused=True)

    return dict(zip(STEPS, (inference, g_both, path_length, d_both, r1), strict=True))


def depthwise_upfirdn2d(
    x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> Tensor:
    """The clone's `upfirdn2d` (kernel true convolution, one padding for both axes), by depthwise
    convolutions like the peer's. Its own CPU code is slower and hides the rest of the comparison.
    """
    channels, taps = x.shape[1], kernel.shape[0]
    weight = kernel.flip(0, 1).expand(channels, 1, taps, taps)
    if up > 1:
        # The zero-insertion of the transposed convolution ends at the last sample and pads by
        # taps - 1 on both sides: crop what differs from `pad`.
        full = F.conv_transpose2d(x, weight.flip(2, 3), stride=up, groups=channels)
        first, last = taps - 1 - pad[0], taps - 1 - pad[1] - (up - 1)
        x = F.pad(full, (-first, -last, -first, -last))
        return x[:, :, ::down, ::down] if down > 1 else x
    if pad[0] == pad[1]:
        return F.conv2d(x, weight, stride=down, padding=pad[0], groups=channels)
    return F.conv2d(F.pad(x, (*pad, *pad)), weight, stride=down, groups=channels)


def public(
    clone: str, resolution: int, batch: int, depthwise_filters: bool = False
) -> dict[str, Body]:
    """The public networks: channel_multiplier 1, which is channel_base 16384.

    Args:
        depthwise_filters: run its filters by `depthwise_upfirdn2d`.
    """
    model = load_public(clone)
    original = vars(model).setdefault("original_upfirdn2d", model.upfirdn2d)
    g = model.Generator(resolution, 512, 8, channel_multiplier=1)
    d = model.Discriminator(resolution, channel_multiplier=1)

    def synthesize(z: Tensor, random: bool) -> tuple[Tensor, Tensor]:
        return g([z], return_latents=True, randomize_noise=random)

    def with_filters(body: Body) -> Body:
        def patched() -> object:
            model.upfirdn2d = depthwise_upfirdn2d if depthwise_filters else original
            return body()

        return patched

    bodies = steps(g, d, synthesize, resolution, batch)
    return {step: with_filters(body) for step, body in bodies.items()}


def filter_error(clone: str) -> float:
    """The largest difference between the clone's filters and `depthwise_upfirdn2d`."""
    model = load_public(clone)
    original = vars(model).setdefault("original_upfirdn2d", model.upfirdn2d)
    x, kernel = torch.randn(2, 3, 8, 8), torch.rand(4, 4)
    differences = []
    for up, down, pad in (
        (2, 1, (2, 1)),
        (1, 2, (1, 1)),
        (1, 1, (2, 1)),
        (1, 1, (2, 2)),
        (1, 1, (1, 1)),
    ):
        arguments = {"up": up, "down": down, "pad": pad}
        mine, theirs = depthwise_upfirdn2d(x, kernel, **arguments), original(x, kernel, **arguments)
        if mine.shape != theirs.shape:
            return float("inf")
        differences.append((mine - theirs).abs().max().item())
    return max(differences)


def ours(resolution: int, batch: int) -> dict[str, Body]:
    """The peer of the benchmarks, same sizes."""
    g = peer.Generator(resolution, channel_base=16384)
    d = peer.Discriminator(resolution, channel_base=16384)

    def synthesize(z: Tensor, random: bool) -> tuple[Tensor, Tensor]:
        ws = g.mapping(z)[:, None].expand(-1, g.num_ws, -1)
        return g.synthesis(ws, "random" if random else "const"), ws

    return steps(g, d, synthesize, resolution, batch)


def parameters(clone: str, resolution: int) -> dict[str, int]:
    """Parameter counts: equal networks have equal ones."""
    model = load_public(clone)

    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    return {
        "public G": count(model.Generator(resolution, 512, 8, channel_multiplier=1)),
        "our G": count(peer.Generator(resolution, channel_base=16384)),
        "public D": count(model.Discriminator(resolution, channel_multiplier=1)),
        "our D": count(peer.Discriminator(resolution, channel_base=16384)),
    }
