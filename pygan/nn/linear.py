"""Fully connected layer with an equalised learning rate."""

from __future__ import annotations

import math

import paddle
from paddle import nn

from pygan.ops import bias_act


class FullyConnectedLayer(nn.Layer):
    """``y = act(x @ (weight * g).T + bias * lr_multiplier)`` with ``g = lr_multiplier / sqrt(in)``.

    The weight is stored with standard deviation ``1 / lr_multiplier`` and scaled at run time, so
    that an optimiser with per-parameter step sizes (Adam) moves every layer at the same relative
    speed (equalised learning rate: Karras et al. 2018, "Progressive growing of GANs", section 4.1).

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether to add a trainable bias.
        activation: an activation name of :func:`pygan.ops.bias_act`.
        lr_multiplier: learning rate of this layer relative to the optimiser's.
        bias_init: initial value of the stored bias.

    Shapes: weight ``[out, in]``, bias ``[out]``; ``[N, in] -> [N, out]``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.activation = activation
        self.lr_multiplier = lr_multiplier
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.weight = self.create_parameter(
            [out_features, in_features],
            default_initializer=nn.initializer.Normal(0.0, 1.0 / lr_multiplier),
        )
        self.bias = None
        if bias:
            self.bias = self.create_parameter(
                [out_features], default_initializer=nn.initializer.Constant(bias_init)
            )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """``[N, in] -> [N, out]``."""
        # Scaling the input is the same as scaling the weight, and the batch is the smaller of the
        # two: D's first dense layer has 16 x 512 x 512 weights.
        y = paddle.matmul(x * self.weight_gain, self.weight, transpose_y=True)
        b = self.bias
        if b is not None and self.lr_multiplier != 1:
            b = b * self.lr_multiplier
        if self.activation == "linear":
            return y if b is None else y + b
        return bias_act(y, b, axis=1, act=self.activation)

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return (
            f"{self.in_features} -> {self.out_features}, activation={self.activation}, "
            f"lr_multiplier={self.lr_multiplier:g}"
        )
