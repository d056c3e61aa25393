"""The network suites composed of Paddle's stock operators."""

from __future__ import annotations

from collections.abc import Callable

import paddle

from benchmarks.peers import paddle_stylegan2, paddlegan_generator
from benchmarks.peers.paddle_training import Trainer

Body = Callable[[], object]


def inference(network: paddle.nn.Layer, batch: int) -> Body:
    """z -> images, constant noise, no graph."""
    network.eval()
    z = paddle.randn([batch, 512])

    def body() -> paddle.Tensor:
        with paddle.no_grad():
            return network(z, noise="const")

    return body


def generator(resolution: int, batch: int, channel_base: int) -> Body:
    """The peer of this project."""
    return inference(paddle_stylegan2.Generator(resolution, channel_base=channel_base), batch)


def paddlegan(resolution: int, batch: int, channel_base: int) -> Body:
    """PaddleGAN's formulation."""
    return inference(paddlegan_generator.Generator(resolution, channel_base=channel_base), batch)


def iteration(resolution: int, batch: int, channel_base: int) -> dict[str, Body]:
    """The phases of a training iteration."""
    return dict(Trainer(resolution, batch, channel_base).phases())
