"""PyTorch's side of the network suites."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.peers.torch_stylegan2 import Generator
from benchmarks.peers.torch_training import Trainer

Body = Callable[[], object]


def generator(resolution: int, batch: int, channel_base: int) -> Body:
    """Inference: z -> images, constant noise, no graph."""
    network = Generator(resolution, channel_base=channel_base).eval()
    z = torch.randn(batch, 512)

    def body() -> torch.Tensor:
        with torch.inference_mode():
            return network(z, noise="const")

    return body


def iteration(resolution: int, batch: int, channel_base: int) -> dict[str, Body]:
    """The phases of a training iteration."""
    return dict(Trainer(resolution, batch, channel_base).phases())
