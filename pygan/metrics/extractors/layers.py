"""Layers of networks whose weights are set once and never trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
import paddle
from paddle import nn

from pygan.errors import InputError
from pygan.ops import conv2d

Sizes = Union[int, Sequence[int]]


def constant(layer: nn.Layer, shape: Sequence[int]) -> paddle.Tensor:
    """A parameter of `layer`, zero until weights are set, that no gradient reaches."""
    attribute = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0), trainable=False)
    return layer.create_parameter(list(shape), attr=attribute)


def set_weights(layer: nn.Layer, arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Sets every parameter of `layer`, in place.

    Args:
        arrays: by the names of ``layer.state_dict()``.
        name: of the weights, for messages.

    Raises:
        InputError: an array is missing, superfluous, of another shape or not finite.
    """
    state = layer.state_dict()
    for what, names in (
        ("misses", set(state) - set(arrays)),
        ("also has", set(arrays) - set(state)),
    ):
        if names:
            raise InputError(f"{name}: not the weights of this network; it {what} {min(names)!r}")
    for key, parameter in state.items():
        array = np.asarray(arrays[key])
        if list(array.shape) != list(parameter.shape):
            raise InputError(
                f"{name}: {key!r} has the shape {list(array.shape)} instead of "
                f"{list(parameter.shape)}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{name}: {key!r} has values that are not finite")
        parameter.set_value(np.ascontiguousarray(array, np.float32))


class Conv(nn.Layer):
    """A convolution with bias.

    Batch normalisation of a frozen network is an affine map per channel: the converters of weights
    fold it into `weight` and `bias`.

    Args:
        fan_in: input channels.
        fan_out: output channels.
        kernel: size, or (height, width).
        stride: of the output.
        padding: zeros around: a number or (vertical, horizontal).
        groups: of channels that are kept apart.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        kernel: Sizes,
        stride: int = 1,
        padding: Sizes = 0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        self.weight = constant(self, [fan_out, fan_in // groups, *size])
        self.bias = constant(self, [fan_out])
        self._stride, self._padding, self._groups = stride, padding, groups

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.correlate(x, self.weight)

    def correlate(self, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        """The layer with `weight` in place of its own."""
        # By pygan's operator, on CPUs three to eight times as fast here as Paddle's.
        return conv2d(x, weight, self.bias, self._stride, self._padding, groups=self._groups)


class Linear(nn.Layer):
    """y = x wᵀ + b with w [fan_out, fan_in]."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight = constant(self, [fan_out, fan_in])
        self.bias = constant(self, [fan_out])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.unbiased(x) + self.bias

    def unbiased(self, x: paddle.Tensor) -> paddle.Tensor:
        """x wᵀ."""
        return paddle.matmul(x, self.weight, transpose_y=True)
