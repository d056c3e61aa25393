"""What the PyTorch peer computes from given weights, for `benchmarks.agreement`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.peers import torch_augment
from benchmarks.peers.augment_numbers import plan
from benchmarks.peers.torch_stylegan2 import Discriminator, Generator


def load(network: nn.Module, prefix: str, arrays: dict[str, np.ndarray]) -> None:
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if name.rpartition(".")[2] != "filter":
                tensor.copy_(torch.from_numpy(arrays[f"{prefix}.{name}"]).reshape(tensor.shape))


def evaluate(source: str, target: str, resolution: int, channel_base: int) -> None:
    """Read weights and inputs from the npz file `source`, write images, logits and the gradients of
    the path-length and R1 penalties to `target`."""
    arrays = dict(np.load(source))
    g = Generator(resolution, channel_base=channel_base)
    d = Discriminator(resolution, channel_base=channel_base)
    load(g, "G", arrays)
    load(d, "D", arrays)
    results = {}
    z, real = torch.from_numpy(arrays["z"]), torch.from_numpy(arrays["real"])
    direction = torch.from_numpy(arrays["direction"])

    ws = g.mapping(z)[:, None].expand(-1, g.num_ws, -1)
    images = g.synthesis(ws, "const")
    results["images"] = images
    (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    (lengths - 1).square().mean().backward()
    results["path lengths"] = lengths
    results |= {
        f"path length, G.{n}": p.grad for n, p in g.named_parameters() if p.grad is not None
    }

    real.requires_grad_(True)
    logits = d(real)
    results["logits"] = logits
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    gradient.square().sum((1, 2, 3)).mean().backward()
    results |= {f"R1, D.{n}": p.grad for n, p in d.named_parameters() if p.grad is not None}
    np.savez(target, **{k: v.detach().numpy() for k, v in results.items()})


def augment(source: str, target: str) -> None:
    """Read images, the numbers of their augmentation and a gradient from the npz file `source`,
    write the augmented images and the images' gradient to `target`."""
    arrays = dict(np.load(source))
    x = torch.from_numpy(arrays["images"]).requires_grad_(True)
    y = torch_augment.warp(x, plan(arrays["matrices"], *x.shape[2:]))
    y = torch_augment.color(y, arrays["rows"])
    (gradient,) = torch.autograd.grad(y, x, torch.from_numpy(arrays["direction"]))
    np.savez(target, augmented=y.detach().numpy(), gradient=gradient.numpy())
