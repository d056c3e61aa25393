"""The StyleGAN2 training iteration in PyTorch, its four phases apart.

Gmain and Dmain: non-saturating logistic loss. Greg: path-length regularisation on half the batch
(Karras et al. 2020, section 3.2), Dreg: R1 (Mescheder et al. 2018), both lazy: their optimiser step
has the learning rate and betas of section "Lazy regularization". Style mixing with probability 0.9.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.torch_stylegan2 import Discriminator, Generator


def adam(network: nn.Module, interval: int, lr: float = 0.002) -> torch.optim.Adam:
    """Adam (0, 0.99) corrected for a regulariser every `interval` iterations. PyTorch's fused
    implementation is its fastest on the CPU."""
    c = interval / (interval + 1)
    return torch.optim.Adam(
        network.parameters(), lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8, fused=True
    )


class Trainer:
    """Networks, optimisers and one method per phase, on fixed random "real" images."""

    def __init__(
        self,
        resolution: int,
        batch: int,
        channel_base: int = 16384,
        r1_gamma: float = 1.0,
        g_interval: int = 4,
        d_interval: int = 16,
        mixing: float = 0.9,
    ) -> None:
        torch.manual_seed(0)
        self.batch, self.r1_gamma, self.mixing = batch, r1_gamma, mixing
        self.g_interval, self.d_interval = g_interval, d_interval
        self.g = Generator(resolution, channel_base=channel_base)
        self.d = Discriminator(resolution, channel_base=channel_base)
        self.ema = copy.deepcopy(self.g).requires_grad_(False)
        self.g_optimizer = adam(self.g, g_interval)
        self.d_optimizer = adam(self.d, d_interval)
        self.path_mean = torch.zeros([])
        self.real = torch.rand(batch, 3, resolution, resolution) * 2 - 1
        self.random = random.Random(0)

    def styles(self, batch: int) -> Tensor:
        """Fresh ws [batch, num_ws, w_dim] with style mixing."""
        layers = self.g.num_ws
        ws = self.g.mapping(torch.randn(batch, 512))[:, None].expand(-1, layers, -1)
        if self.random.random() < self.mixing:
            cutoff = self.random.randrange(1, layers)
            other = self.g.mapping(torch.randn(batch, 512))[:, None].expand(-1, layers, -1)
            ws = torch.cat([ws[:, :cutoff], other[:, cutoff:]], 1)
        return ws

    def g_main(self) -> None:
        self.d.requires_grad_(False)
        self.g_optimizer.zero_grad(set_to_none=True)
        F.softplus(-self.d(self.g.synthesis(self.styles(self.batch)))).mean().backward()
        self.g_optimizer.step()
        self.d.requires_grad_(True)

    def g_reg(self) -> None:
        self.g_optimizer.zero_grad(set_to_none=True)
        ws = self.styles(max(self.batch // 2, 1))
        images = self.g.synthesis(ws)
        noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        penalty = (lengths - self.path_mean).square().mean()
        (penalty * (2.0 * self.g_interval)).backward()
        self.g_optimizer.step()

    def d_main(self) -> None:
        self.d_optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            fake = self.g.synthesis(self.styles(self.batch))
        F.softplus(self.d(fake)).mean().backward()
        F.softplus(-self.d(self.real)).mean().backward()
        self.d_optimizer.step()

    def d_reg(self) -> None:
        self.d_optimizer.zero_grad(set_to_none=True)
        real = self.real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.d(real).sum(), real, create_graph=True)
        penalty = gradient.square().sum((1, 2, 3)).mean()
        (penalty * (0.5 * self.r1_gamma * self.d_interval)).backward()
        self.d_optimizer.step()

    @torch.no_grad()
    def update_ema(self) -> None:
        decay = 0.5 ** (self.batch / 10_000)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.g.parameters()), 1.0 - decay)

    def phases(self) -> dict[str, Callable[[], None]]:
        return {
            "Gmain": self.g_main,
            "Greg": self.g_reg,
            "Dmain": self.d_main,
            "Dreg": self.d_reg,
            "EMA": self.update_ema,
        }
