"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
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


class WeightAverage:
    """A copy of a network that follows it: weights are averaged, all else is copied.

    To be made before the engine freezes any weights: parameters that take no gradient by then, such
    as Paddle's running statistics of batch normalisation, count as buffers.

    Attributes:
        network: the copy, in evaluation mode.
    """

    def __init__(self, source: nn.Layer) -> None:
        self.network = copy.deepcopy(source)
        self.network.eval()
        pairs = list(zip(self.network.parameters(), source.parameters()))
        self._averaged = [(twin, weight) for twin, weight in pairs if not weight.stop_gradient]
        self._copied = [(twin, weight) for twin, weight in pairs if weight.stop_gradient]
        self._copied += zip(self.network.buffers(), source.buffers())
        for twin in self.network.parameters():
            twin.stop_gradient = True

    @paddle.no_grad()
    def update(self, beta: float) -> None:
        """Moves the weights to ``beta * average + (1 - beta) * source``."""
        if beta == 0:  # no average: the copy keeps up
            for average, weight in self._averaged + self._copied:
                paddle.assign(weight, output=average)
            return
        # A tensor of no dimensions: lerp_ with a Python number gives scalars the shape [1].
        kinds = {average.dtype for average, _ in self._averaged}
        step = {dtype: paddle.full([], 1 - beta, dtype=dtype) for dtype in kinds}
        for average, weight in self._averaged:
            average.lerp_(weight, step[average.dtype])
        for average, value in self._copied:
            paddle.assign(value, output=average)
