"""The StyleGAN2 training iteration in stock Paddle, its four phases apart.

The counterpart of `benchmarks.peers.torch_training`: same losses, intervals and optimisers.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from benchmarks.peers.paddle_stylegan2 import Discriminator, Generator


def adam(network: nn.Layer, interval: int, lr: float = 0.002) -> paddle.optimizer.Adam:
    """Adam (0, 0.99) corrected for a regulariser every `interval` iterations."""
    c = interval / (interval + 1)
    return paddle.optimizer.Adam(
        lr * c, beta1=0.0, beta2=0.99**c, epsilon=1e-8, parameters=network.parameters()
    )


def set_trainable(network: nn.Layer, trainable: bool) -> None:
    for parameter in network.parameters():
        parameter.stop_gradient = not trainable


def path_lengths(generator: nn.Layer, ws: Tensor, noise: str, direction: Tensor) -> Tensor:
    """|J^T y| per sample, averaged over layers; differentiable. `direction` is y."""
    images = generator.synthesis(ws, noise, second_order=True)
    (gradient,) = paddle.grad([(images * direction).sum()], [ws], create_graph=True)
    return paddle.sqrt((gradient * gradient).sum(axis=2).mean(axis=1))


def r1_penalty(discriminator: nn.Layer, real: Tensor) -> Tensor:
    """mean |dD(x) / dx|^2, differentiable."""
    real = real.detach()
    real.stop_gradient = False
    (gradient,) = paddle.grad([discriminator(real).sum()], [real], create_graph=True)
    return (gradient * gradient).sum(axis=[1, 2, 3]).mean()


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
        paddle.seed(0)
        self.batch, self.r1_gamma, self.mixing = batch, r1_gamma, mixing
        self.g_interval, self.d_interval = g_interval, d_interval
        self.g = Generator(resolution, channel_base=channel_base)
        self.d = Discriminator(resolution, channel_base=channel_base)
        self.ema = copy.deepcopy(self.g)
        set_trainable(self.ema, False)
        self.g_optimizer = adam(self.g, g_interval)
        self.d_optimizer = adam(self.d, d_interval)
        self.path_mean = paddle.zeros([])
        self.real = paddle.uniform([batch, 3, resolution, resolution], min=-1.0, max=1.0)
        self.random = random.Random(0)

    def styles(self, batch: int) -> Tensor:
        """Fresh ws [batch, num_ws, w_dim] with style mixing."""
        layers = self.g.num_ws
        ws = self.g.mapping(paddle.randn([batch, 512])).unsqueeze(1).expand([-1, layers, -1])
        if self.random.random() < self.mixing:
            cutoff = self.random.randrange(1, layers)
            other = self.g.mapping(paddle.randn([batch, 512])).unsqueeze(1)
            ws = paddle.concat([ws[:, :cutoff], other.expand([-1, layers - cutoff, -1])], axis=1)
        return ws

    def g_main(self) -> None:
        set_trainable(self.d, False)
        F.softplus(-self.d(self.g.synthesis(self.styles(self.batch)))).mean().backward()
        self.g_optimizer.step()
        self.g_optimizer.clear_grad(set_to_zero=False)
        set_trainable(self.d, True)

    def g_reg(self) -> None:
        ws = self.styles(max(self.batch // 2, 1))
        side = self.real.shape[2]
        lengths = path_lengths(
            self.g,
            ws,
            "random",
            paddle.randn([ws.shape[0], 3, side, side]) / math.sqrt(side * side),
        )
        mean = lengths.detach().mean()
        self.path_mean = self.path_mean + 0.01 * (mean - self.path_mean)
        difference = lengths - self.path_mean
        ((difference * difference).mean() * (2.0 * self.g_interval)).backward()
        self.g_optimizer.step()
        self.g_optimizer.clear_grad(set_to_zero=False)

    def d_main(self) -> None:
        with paddle.no_grad():
            fake = self.g.synthesis(self.styles(self.batch))
        F.softplus(self.d(fake)).mean().backward()
        F.softplus(-self.d(self.real)).mean().backward()
        self.d_optimizer.step()
        self.d_optimizer.clear_grad(set_to_zero=False)

    def d_reg(self) -> None:
        penalty = r1_penalty(self.d, self.real)
        (penalty * (0.5 * self.r1_gamma * self.d_interval)).backward()
        self.d_optimizer.step()
        self.d_optimizer.clear_grad(set_to_zero=False)

    @paddle.no_grad()
    def update_ema(self) -> None:
        decay = 0.5 ** (self.batch / 10_000)
        for average, current in zip(self.ema.parameters(), self.g.parameters()):
            average.lerp_(current, 1.0 - decay)

    def phases(self) -> dict[str, Callable[[], None]]:
        return {
            "Gmain": self.g_main,
            "Greg": self.g_reg,
            "Dmain": self.d_main,
            "Dreg": self.d_reg,
            "EMA": self.update_ema,
        }
