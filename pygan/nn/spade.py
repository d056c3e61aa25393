"""Spatially-adaptive normalisation (SPADE)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import paddle
from paddle import nn

from pygan.nn.norm import Normalization, Statistics
from pygan.nn.plain_conv import PlainConv2D
from pygan.ops import bias_act, spade_norm

Condition = Union[paddle.Tensor, Sequence[Optional[paddle.Tensor]]]


class SpadeNorm(Normalization):
    """``y = act(norm(x) * (1 + gamma) + beta)``, gamma and beta maps made of a condition.

    norm has no parameters; ``gamma, beta = conv(relu(shared(condition)))``, both by one convolution
    with 2 ``channels`` outputs, gamma first.

    Args:
        channels: of x and of the output.
        shared: the first layer of the maps, from the condition, already of the size of the output,
            to ``[N, hidden_channels, H, W]`` in front of the ReLU: a :class:`LabelConv2D`, or a
            convolution for a dense condition.
        hidden_channels: of ``shared``.
        kernel_size: side of the kernel behind the ReLU, an odd number.
        kind: 'batch', 'sync' or 'instance', see :class:`Normalization`.
        momentum, epsilon: see :class:`Normalization`.
        activation, alpha: see :func:`pygan.ops.spade_norm`.
        initializer: of the weight behind the ReLU; None for N(0, 0.02).

    Source: Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization",
    section 3.1 and figure 10.
    """

    def __init__(
        self,
        channels: int,
        shared: nn.Layer,
        *,
        hidden_channels: int = 128,
        kernel_size: int = 3,
        kind: str = "batch",
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        activation: str = "linear",
        alpha: Optional[float] = None,
        initializer: Optional[nn.initializer.Initializer] = None,
    ) -> None:
        super().__init__(channels, kind, momentum, epsilon)
        self.activation, self.alpha = activation, alpha
        self.shared = shared
        self.gamma_beta = PlainConv2D(
            hidden_channels,
            2 * channels,
            kernel_size,
            padding=kernel_size // 2,
            initializer=initializer,
        )

    def maps(self, condition: Condition) -> paddle.Tensor:
        """gamma and beta of a condition, ``[N, 2 channels, H, W]``."""
        inputs = [condition] if isinstance(condition, paddle.Tensor) else condition
        return self.gamma_beta(bias_act(self.shared(*inputs), act="relu", gain=1.0))

    def forward(
        self,
        x: paddle.Tensor,
        condition: Condition,
        statistics: Optional[Statistics] = None,
        upsample: int = 1,
    ) -> paddle.Tensor:
        """Normalises x.

        Args:
            x: ``[N, channels, H, W]``.
            condition: what ``shared`` takes: a tensor, or several in a sequence.
            statistics: of ``x``, as :meth:`statistics` of this or another layer of the same kind
                gave them; None: to be computed. Two layers that normalise one x need them once.
            upsample: 2 to make x twice as high and wide first, by nearest neighbours.

        Returns:
            ``[N, channels, upsample H, upsample W]``.
        """
        if statistics is None:
            statistics = self.statistics(x)
        self.track(statistics, upsample**2)
        return spade_norm(
            x,
            statistics.mean,
            statistics.variance,
            gamma_beta=self.maps(condition),
            own_statistics=statistics.own,
            epsilon=self.epsilon,
            activation=self.activation,
            alpha=self.alpha,
            upsample=upsample,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return f"{self.channels}, {self.kind}, activation={self.activation}"
