"""Exponential moving average of a network's weights."""

from __future__ import annotations

from typing import Optional

import paddle
from paddle import nn


def ema_beta(batch: int, nimg: int, ema_kimg: float, rampup: Optional[float]) -> float:
    """Decay per step: ``.5 ** (batch / h)``, half-life ``h = min(ema_kimg * 1000, nimg * rampup)``.

    Args:
        batch: images per step.
        nimg: images seen before this step.
        ema_kimg: half-life in thousands of images.
        rampup: limit of the half-life relative to ``nimg``; None for no limit
            (Karras et al. 2020, "Training generative adversarial networks with limited data").
    """
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, nimg * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


@paddle.no_grad()
def update_average(average: nn.Layer, network: nn.Layer, beta: float) -> None:
    """Moves ``average`` to ``beta * average + (1 - beta) * network``; buffers are copied."""
    for target, source in zip(average.parameters(), network.parameters()):
        target.lerp_(source, 1 - beta)
    for target, source in zip(average.buffers(), network.buffers()):
        paddle.assign(source, output=target)
